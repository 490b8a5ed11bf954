// The Python module: chooses the instruction set, sets the floating-point environment, runs threads.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "environment.h"
#include "kernel.h"

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

// Matrices first to last of a stack.
template <class T>
void invert_part(const Kernel& kernel, int n, Method method, const T* A, ResultsOf<T> to,
                 long first, long last) {
  const DefaultEnvironment environment;
  kernel.run(n, method, A + first * n * n, to.from(first, n), last - first);
}

// Threads that the work is worth: starting one costs what about 400,000 multiplications do.
int worthwhile(int threads, int n, long count, long blocks) {
  const double work = (double)count * (n * n * n + 64) / 400000;
  return (int)std::max(1.0, std::min({(double)threads, (double)blocks, work}));
}

// The stack in whole blocks of lanes, as even as they go.
template <class T>
void invert_stack(const Kernel& kernel, int n, Method method, const T* A, ResultsOf<T> to,
                  long count, int threads) {
  const long blocks = (count + kernel.lanes - 1) / kernel.lanes;
  threads = worthwhile(threads, n, count, blocks);
  std::vector<std::exception_ptr> failures(threads);
  const auto part = [&](int t) {
    const auto bound = [&](int i) { return std::min(count, blocks * i / threads * kernel.lanes); };
    try {
      invert_part(kernel, n, method, A, to, bound(t), bound(t + 1));
    } catch (...) {  // memory
      failures[t] = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; t++) {
    try {
      others.emplace_back(part, t);
    } catch (const std::system_error&) {  // no more threads to be had
      part(t);
    }
  }
  part(0);
  for (auto& other : others) other.join();
  for (const auto& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

const Kernel* best() {
  for (const Kernel* kernel : kernels)
    if (kernel->supported()) return kernel;
  return nullptr;
}

const Kernel* chosen = nullptr;

template <class T, int dims>
using Array = nb::ndarray<T, nb::ndim<dims>, nb::c_contig, nb::device::cpu>;

template <class T>
void invert_into(Array<const T, 3> A, Array<T, 3> X, Array<double, 2> bounds,
                 Array<uint8_t, 1> state, bool network, int threads) {
  const size_t count = A.shape(0), n = A.shape(1);
  if (n < 1 || n > (size_t)largest_order || A.shape(2) != n || X.shape(0) != count ||
      X.shape(1) != n || X.shape(2) != n || bounds.shape(0) != 3 || bounds.shape(1) != count ||
      state.shape(0) != count)
    throw std::invalid_argument("the arrays' shapes do not belong together");
  double* b = bounds.data();
  const ResultsOf<T> to{X.data(), b, b + count, b + 2 * count, state.data()};
  const nb::gil_scoped_release unlocked;
  invert_stack(*chosen, (int)n, network ? Method::network : Method::elimination, A.data(), to,
               (long)count, threads);
}

// The numbers of a C-contiguous matrix in native order, got in a tenth of a microsecond.
class Matrix {
  Py_buffer view;

 public:
  explicit Matrix(nb::handle array, bool writable) {
    const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(array.ptr(), &view, flags)) throw nb::python_error();
  }
  Matrix(const Matrix&) = delete;
  ~Matrix() { PyBuffer_Release(&view); }

  template <class T> T* numbers() const { return (T*)view.buf; }
  long order() const {  // 0 where it is not square
    return view.ndim == 2 && view.shape[0] == view.shape[1] ? (long)view.shape[0] : 0;
  }
  bool is(const char* format) const { return !std::strcmp(view.format, format); }
};

template <class T>
nb::object invert_matrix(int n, Method method, const Matrix& A, const Matrix& X) {
  double bounds[3];
  uint8_t state;
  invert_part(*chosen, n, method, A.numbers<T>(),
              ResultsOf<T>{X.numbers<T>(), bounds, bounds + 1, bounds + 2, &state}, 0, 1);
  return nb::make_tuple(bounds[0], bounds[1], bounds[2], state);
}

// One matrix: error, residual and relative bound, and state. None where the arrays are not of a
// kind that is inverted here, and in an environment that needs care.
nb::object invert_one(nb::handle A, nb::handle X, bool network) {
  const Matrix from(A, false), to(X, true);
  const long n = from.order();
  const Method method = network ? Method::network : Method::elimination;
  if (n < 1 || n > largest_order || to.order() != n || !usual_environment()) return nb::none();
  if (from.is("d") && to.is("d")) return invert_matrix<double>((int)n, method, from, to);
  if (from.is("f") && to.is("f")) return invert_matrix<float>((int)n, method, from, to);
  return nb::none();
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
        nb::arg("bounds").noconvert(), nb::arg("state").noconvert(), nb::arg("network"),
        nb::arg("threads"));
  m.def("invert_into", invert_into<float>, nb::arg("A").noconvert(), nb::arg("X").noconvert(),
        nb::arg("bounds").noconvert(), nb::arg("state").noconvert(), nb::arg("network"),
        nb::arg("threads"));
  m.def("invert_one", invert_one);
}
