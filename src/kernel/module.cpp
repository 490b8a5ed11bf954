// The Python module: chooses the instruction set, sets the floating-point environment, runs threads.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "buffer.h"
#include "environment.h"
#include "module.h"
#include "threads.h"

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

const Kernel* chosen = nullptr;

namespace {

#define DMX_LIST(isa) &isa::kernel,
const Kernel* const kernels[] = {DMX_EACH_ISA(DMX_LIST)};
#undef DMX_LIST

const Kernel* best() {
  for (const Kernel* kernel : kernels)
    if (kernel->supported()) return kernel;
  return nullptr;
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
  m.def("solve_into", solve_into, nb::arg("A").noconvert(), nb::arg("X").noconvert(),
        nb::arg("error").noconvert(), nb::arg("B").noconvert(), nb::arg("Y").noconvert(),
        nb::arg("bound").noconvert(), nb::arg("threads"));
  define_passes(m);
  define_guesses(m);
  m.def("multiply_adds", [](long rounds) {
    double result = 0;
    const long count = chosen->multiply_adds(rounds, result);
    return nb::make_tuple(count, result);  // the result, so that it is computed
  });
  m.def("invert_one", invert_one);
  m.def("solve_one", solve_one);
}
