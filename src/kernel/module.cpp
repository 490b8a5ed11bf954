// The Python module: chooses the instruction set, sets the floating-point environment, runs threads.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "buffer.h"
#include "environment.h"
#include "kernel.h"
#include "threads.h"

namespace nb = nanobind;

// The namespaces that CMakeLists.txt compiles, the widest first.
#if defined(__x86_64__)
#define DMX_EACH_ISA(F) F(v4) F(v3) F(v2)
#else
#define DMX_EACH_ISA(F) F(neon)
#endif

namespace dmx {

#define DMX_DECLARE(isa) \
  namespace isa {        \
  extern const Kernel kernel; \
  }
DMX_EACH_ISA(DMX_DECLARE)
#undef DMX_DECLARE

namespace {

#define DMX_LIST(isa) &isa::kernel,
const Kernel* const kernels[] = {DMX_EACH_ISA(DMX_LIST)};
#undef DMX_LIST

const Kernel* best() {
  for (const Kernel* kernel : kernels)
    if (kernel->supported()) return kernel;
  return nullptr;
}

const Kernel* chosen = nullptr;

template <class T, int dims>
using Array = nb::ndarray<T, nb::ndim<dims>, nb::c_contig, nb::device::cpu>;

void require(bool fits) {
  if (!fits) throw std::invalid_argument("the arrays' shapes do not belong together");
}

// The order of a stack of matrices.
template <class T> int order(const Array<T, 3>& A, int largest = largest_order) {
  require(A.shape(1) == A.shape(2) && A.shape(1) >= 1 && A.shape(1) <= (size_t)largest);
  return (int)A.shape(1);
}
template <class T> bool alike(const Array<const T, 3>& A, size_t count, size_t rows, size_t columns) {
  return A.shape(0) == count && A.shape(1) == rows && A.shape(2) == columns;
}

template <class T> bool alike(const Array<T, 2>& v, size_t rows, size_t columns) {
  return v.shape(0) == rows && v.shape(1) == columns;
}

// Where bounds and states of so many matrices go.
template <class T>
ResultsOf<T> results(T* X, const Array<double, 2>& bounds, const Array<uint8_t, 1>& state,
                     size_t count) {
  require(bounds.shape(0) == 3 && bounds.shape(1) == count && state.shape(0) == count);
  double* b = bounds.data();
  return {X, b, b + count, b + 2 * count, state.data()};
}

template <class T>
void invert_into(Array<const T, 3> A, Array<T, 3> X, Array<double, 2> bounds,
                 Array<uint8_t, 1> state, int method, int threads) {
  const int n = order(A);
  const size_t count = A.shape(0);
  require(X.shape(0) == count && X.shape(1) == (size_t)n && X.shape(2) == (size_t)n);
  const ResultsOf<T> to = results(X.data(), bounds, state, count);
  require(method >= 0 && method <= (int)Method::given);
  const nb::gil_scoped_release unlocked;
  in_parts(chosen->lanes, n, (long)count, threads, [&](long first, long last) {
    chosen->run(n, (Method)method, A.data() + first * n * n, to.from(first, n), last - first);
  });
}

void certify_into(Array<const double, 3> A, Array<const double, 3> X, Array<double, 2> bounds,
                  Array<uint8_t, 1> state, int threads) {
  const int n = order(A);
  const size_t count = A.shape(0);
  require(alike(X, count, n, n));
  const Results to = results<double>(nullptr, bounds, state, count);
  const nb::gil_scoped_release unlocked;
  in_parts(chosen->lanes, n, (long)count, threads, [&](long first, long last) {
    const Results part{nullptr, to.error + first, to.residual + first, to.relative + first,
                       to.state + first};
    chosen->certify(n, A.data() + first * n * n, X.data() + first * n * n, part, last - first);
  });
}

// One matrix without a proof, both of contiguous rows.
void halve_into(nb::ndarray<const double, nb::ndim<2>, nb::device::cpu> A,
                nb::ndarray<double, nb::ndim<2>, nb::device::cpu> X) {
  const size_t n = A.shape(0);
  require(n >= 1 && n <= (size_t)largest_halved && A.shape(1) == n && X.shape(0) == n &&
          X.shape(1) == n && A.stride(1) == 1 && X.stride(1) == 1);
  const nb::gil_scoped_release unlocked;
  chosen->halve((int)n, A.data(), A.stride(0), X.data(), X.stride(0));
}

// Passes over k large matrices (k, n, n): A V or |A| V to (k, n, m),
void few_columns_into(Array<const double, 3> A, Array<const double, 3> V, Array<double, 3> out,
                      bool of_moduli) {
  const size_t k = A.shape(0), n = A.shape(1), m = V.shape(2);
  require(A.shape(2) == n && alike(V, k, n, m) && out.shape(0) == k && out.shape(1) == n &&
          out.shape(2) == m);
  const nb::gil_scoped_release unlocked;
  const auto pass = of_moduli ? chosen->passes.moduli : chosen->passes.products;
  for (size_t i = 0; i < k; i++)
    pass(n, m, A.data() + i * n * n, V.data() + i * n * m, out.data() + i * n * m);
}
// (A o A) v and 1^T (A o A), (k, n) each,
void squares_into(Array<const double, 3> A, Array<const double, 2> v, Array<double, 2> rows,
                  Array<double, 2> columns) {
  const size_t k = A.shape(0), n = A.shape(1);
  require(A.shape(2) == n && alike(v, k, n) && alike(rows, k, n) && alike(columns, k, n));
  const nb::gil_scoped_release unlocked;
  for (size_t i = 0; i < k; i++)
    chosen->passes.squares(n, A.data() + i * n * n, v.data() + i * n, rows.data() + i * n,
                           columns.data() + i * n);
}
// x^T A + y^T A, the first in doubled precision: high and low, (k, n) each.
void doubled_product_into(Array<const double, 2> x, Array<const double, 2> y,
                          Array<const double, 3> A, Array<double, 2> high, Array<double, 2> low) {
  const size_t k = A.shape(0), n = A.shape(1);
  require(A.shape(2) == n && alike(x, k, n) && alike(y, k, n) && alike(high, k, n) &&
          alike(low, k, n));
  const nb::gil_scoped_release unlocked;
  for (size_t i = 0; i < k; i++)
    chosen->passes.doubled_product(n, x.data() + i * n, y.data() + i * n, A.data() + i * n * n,
                                   high.data() + i * n, low.data() + i * n);
}

// One matrix for all right-hand sides or one each, and the other way round.
void solve_into(Array<const double, 3> A, Array<const double, 3> X, Array<const double, 1> error,
                Array<const double, 3> B, Array<double, 3> Y, Array<double, 2> bound, int threads) {
  const int n = order(A), p = (int)B.shape(2);
  const size_t count = Y.shape(0), matrices = A.shape(0), sides = B.shape(0);
  require(alike(X, matrices, n, n) && error.shape(0) == matrices && B.shape(1) == (size_t)n &&
          Y.shape(1) == (size_t)n && Y.shape(2) == (size_t)p && bound.shape(0) == count &&
          bound.shape(1) == (size_t)p && (matrices == count || matrices == 1) &&
          (sides == count || sides == 1));
  const Systems systems{n, p, A.data(), X.data(), error.data(), B.data(),
                        matrices == count ? n * n : 0, sides == count ? n * p : 0,
                        Y.data(), bound.data()};
  const nb::gil_scoped_release unlocked;
  in_parts(chosen->lanes, n, (long)count * p, threads, [&](long first, long last) {
    // Whole systems: those whose first column is in the part.
    chosen->solve(systems, (first + p - 1) / p, (last + p - 1) / p);
  });
}

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

template <class T>
nb::object invert_matrix(int n, Method method, const Buffer& A, const Buffer& X) {
  const DefaultEnvironment environment;
  double bounds[3];
  uint8_t state;
  chosen->run(n, method, A.numbers<T>(),
              ResultsOf<T>{X.numbers<T>(), bounds, bounds + 1, bounds + 2, &state}, 1);
  return nb::make_tuple(bounds[0], bounds[1], bounds[2], state);
}

// One matrix: error, residual and relative bound, and state. None where the arrays are not of a
// kind that is inverted here, and in an environment that needs care.
nb::object invert_one(nb::handle A, nb::handle X, bool network) {
  const Buffer from(A, false), to(X, true);
  const long n = from.order();
  const Method method = network ? Method::network : Method::elimination;
  if (n < 1 || n > largest_order || to.order() != n || !usual_environment()) return nb::none();
  if (from.is("d") && to.is("d")) return invert_matrix<double>((int)n, method, from, to);
  if (from.is("f") && to.is("f")) return invert_matrix<float>((int)n, method, from, to);
  return nb::none();
}

// One float64 system by the network, (n,) or (n, p): X, Y and bounds (2, p), absolute and relative
// to the largest component, are written. As `invert_one`, and the largest relative bound of the
// columns; None, too, where the inverse is not settled.
nb::object solve_one(nb::handle A, nb::handle B, nb::handle X, nb::handle Y, nb::handle bounds) {
  const Buffer from(A, false), right(B, false), inverse(X, true), to(Y, true), about(bounds, true);
  const long n = from.order(), p = right.length(1);
  if (n < 1 || n > largest_order || right.axes() > 2 || right.length(0) != n || p < 1 ||
      !from.is("d") || !right.is("d") || !usual_environment())
    return nb::none();
  require(inverse.order() == n && inverse.is("d") && to.is("d") && to.length(0) == n &&
          to.length(1) == p && about.is("d") && about.length(0) == 2 && about.length(1) == p);
  const DefaultEnvironment environment;
  double found[3];
  uint8_t state;
  double *x = inverse.numbers<double>(), *y = to.numbers<double>();
  chosen->invert((int)n, Method::network, from.numbers<double>(),
                 Results{x, found, found + 1, found + 2, &state}, 1);
  if (state != (finished | plain)) return nb::none();
  double *bound = about.numbers<double>(), *relative = bound + p, worst = 0;
  chosen->solve({(int)n, (int)p, from.numbers<double>(), x, found, right.numbers<double>(), 0, 0, y,
                 bound}, 0, 1);
  for (long c = 0; c < p; c++) {
    double largest = 0;
    for (long i = 0; i < n; i++) largest = std::max(largest, std::fabs(y[i * p + c]));
    const double ratio = bound[c] == 0 ? 0 : bound[c] / largest * (1 + 0x1p-50);
    relative[c] = std::isinf(bound[c]) ? bound[c] : ratio;  // infinity over infinity proves nothing
    worst = std::max(worst, relative[c]);
  }
  return nb::make_tuple(found[0], found[1], found[2], worst);
}

std::vector<std::string> supported() {
  std::vector<std::string> names;
  for (const Kernel* kernel : kernels)
    if (kernel->supported()) names.push_back(kernel->name);
  return names;
}

void use(const std::string& name) {
  for (const Kernel* kernel : kernels)
    if (kernel->name == name && kernel->supported()) {
      chosen = kernel;
      return;
    }
  throw std::invalid_argument("this processor or this build lacks the instruction set " + name);
}

}  // namespace
}  // namespace dmx

NB_MODULE(_kernel, m) {
  using namespace dmx;
  chosen = best();
  // Nothing that this processor supports: `instruction_sets` is empty, and nobody calls the rest.
  m.attr("LARGEST_ORDER") = largest_order;
  m.attr("LARGEST_GUESS") = largest_guess;
  m.attr("WIDTH") = Network::width;
  m.attr("MOST_UNITS") = Network::most_units;
  m.attr("COMPILER") = DMX_COMPILER;
  m.def("instruction_set", [] { return chosen->name; });
  m.def("instruction_sets", supported);
  m.def("use", use);
  m.attr("FINISHED") = finished;
  m.attr("PLAIN") = plain;
  m.def("usual_environment", usual_environment);
  // No argument is converted: results go where the arrays are.
  m.def("invert_into", invert_into<double>, nb::arg("A").noconvert(), nb::arg("X").noconvert(),
        nb::arg("bounds").noconvert(), nb::arg("state").noconvert(), nb::arg("method"),
        nb::arg("threads"));
  m.def("invert_into", invert_into<float>, nb::arg("A").noconvert(), nb::arg("X").noconvert(),
        nb::arg("bounds").noconvert(), nb::arg("state").noconvert(), nb::arg("method"),
        nb::arg("threads"));
  m.def("certify_into", certify_into, nb::arg("A").noconvert(), nb::arg("X").noconvert(),
        nb::arg("bounds").noconvert(), nb::arg("state").noconvert(), nb::arg("threads"));
  m.def("halve_into", halve_into, nb::arg("A").noconvert(), nb::arg("X").noconvert());
  m.attr("LARGEST_HALVED") = largest_halved;
  m.def("few_columns_into", few_columns_into, nb::arg("A").noconvert(),
        nb::arg("V").noconvert(), nb::arg("out").noconvert(), nb::arg("of_moduli"));
  m.def("squares_into", squares_into, nb::arg("A").noconvert(), nb::arg("v").noconvert(),
        nb::arg("rows").noconvert(), nb::arg("columns").noconvert());
  m.def("doubled_product_into", doubled_product_into, nb::arg("x").noconvert(),
        nb::arg("y").noconvert(), nb::arg("A").noconvert(), nb::arg("high").noconvert(),
        nb::arg("low").noconvert());
  m.def("solve_into", solve_into, nb::arg("A").noconvert(), nb::arg("X").noconvert(),
        nb::arg("error").noconvert(), nb::arg("B").noconvert(), nb::arg("Y").noconvert(),
        nb::arg("bound").noconvert(), nb::arg("threads"));
  m.def("spectral_start", spectral_start, nb::arg("S").noconvert(),
        nb::arg("definite").noconvert(), nb::arg("factor").noconvert(), nb::arg("R").noconvert(),
        nb::arg("square").noconvert(), nb::arg("gram").noconvert(), nb::arg("threads"));
  m.def("spectral_descend", spectral_descend, nb::arg("S").noconvert(),
        nb::arg("definite").noconvert(), nb::arg("factor").noconvert(), nb::arg("R").noconvert(),
        nb::arg("square").noconvert(), nb::arg("gram").noconvert(), nb::arg("ways").noconvert(),
        nb::arg("weights").noconvert(), nb::arg("units"), nb::arg("most"), nb::arg("enough"),
        nb::arg("X").noconvert(), nb::arg("residual").noconvert(),
        nb::arg("products").noconvert(), nb::arg("threads"));
  m.def("multiply_adds", [](long rounds) {
    double result = 0;
    const long count = chosen->multiply_adds(rounds, result);
    return nb::make_tuple(count, result);  // the result, so that it is computed
  });
  m.def("invert_one", invert_one);
  m.def("solve_one", solve_one);
}
