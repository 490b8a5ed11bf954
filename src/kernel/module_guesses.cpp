// The network `spectral` for Python.
#include "module.h"
#include "threads.h"

namespace dmx {
namespace {

// The arrays of `Guesses` that a start fills, and how many matrices there are.
Guesses guesses(const Array<const double, 3>& S, const Array<const uint8_t, 1>& definite,
                const Array<double, 1>& factor, const Array<double, 3>& R,
                const Array<double, 3>& square, const Array<double, 3>& gram) {
  const size_t n = order(S, largest_guess), count = S.shape(0);
  const auto fits = [&](const Array<double, 3>& M, size_t m) {
    return M.shape(0) == count && M.shape(1) == m && M.shape(2) == m;
  };
  require(definite.shape(0) == count && factor.shape(0) == count && fits(R, n) && fits(square, n) &&
          fits(gram, 3));
  Guesses g{};
  g.n = (int)n, g.S = S.data(), g.definite = definite.data(), g.factor = factor.data();
  g.R = R.data(), g.square = square.data(), g.gram = gram.data();
  return g;
}

void spectral_start(Array<const double, 3> S, Array<const uint8_t, 1> definite,
                    Array<double, 1> factor, Array<double, 3> R, Array<double, 3> square,
                    Array<double, 3> gram, int threads) {
  const Guesses g = guesses(S, definite, factor, R, square, gram);
  const nb::gil_scoped_release unlocked;
  in_parts(1, g.n, (long)S.shape(0), threads, [&](long a, long b) { chosen->start(g, a, b); });
}

void spectral_descend(Array<const double, 3> S, Array<const uint8_t, 1> definite,
                      Array<double, 1> factor, Array<double, 3> R, Array<double, 3> square,
                      Array<double, 3> gram, Array<const uint8_t, 1> ways,
                      Array<const float, 1> weights, int units, int most, double enough,
                      Array<double, 3> X, Array<double, 1> residual, Array<int64_t, 1> products,
                      int threads) {
  Guesses g = guesses(S, definite, factor, R, square, gram);
  const size_t count = S.shape(0);
  require(units > 0 && units % Network::width == 0 && units <= Network::most_units &&
          (long)weights.shape(0) == Network::size(0, units) + Network::size(1, units) &&
          ways.shape(0) == count && residual.shape(0) == count && products.shape(0) == count &&
          X.shape(0) == count && X.shape(1) == (size_t)g.n && X.shape(2) == (size_t)g.n);
  g.ways = ways.data(), g.network = {units, weights.data()}, g.most = most, g.enough = enough;
  g.X = X.data(), g.residual = residual.data(), g.products = products.data();
  const nb::gil_scoped_release unlocked;
  in_parts(1, g.n, (long)count, threads, [&](long a, long b) { chosen->descend(g, a, b); });
}

}  // namespace

void define_guesses(nb::module_& m) {
  m.attr("LARGEST_GUESS") = largest_guess;
  m.attr("WIDTH") = Network::width;
  m.attr("MOST_UNITS") = Network::most_units;
  m.def("spectral_start", spectral_start, nb::arg("S").noconvert(),
        nb::arg("definite").noconvert(), nb::arg("factor").noconvert(), nb::arg("R").noconvert(),
        nb::arg("square").noconvert(), nb::arg("gram").noconvert(), nb::arg("threads"));
  m.def("spectral_descend", spectral_descend, nb::arg("S").noconvert(),
        nb::arg("definite").noconvert(), nb::arg("factor").noconvert(), nb::arg("R").noconvert(),
        nb::arg("square").noconvert(), nb::arg("gram").noconvert(), nb::arg("ways").noconvert(),
        nb::arg("weights").noconvert(), nb::arg("units"), nb::arg("most"), nb::arg("enough"),
        nb::arg("X").noconvert(), nb::arg("residual").noconvert(),
        nb::arg("products").noconvert(), nb::arg("threads"));
}

}  // namespace dmx
