// The Python module: chooses the instruction set, sets the floating-point environment, runs threads.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cfenv>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

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

// The bounds assume rounding to nearest and gradual underflow, whatever the thread was set to.
class DefaultEnvironment {
  std::fenv_t before;

 public:
  DefaultEnvironment() {
    std::fegetenv(&before);
    std::fesetenv(FE_DFL_ENV);
  }
  ~DefaultEnvironment() { std::fesetenv(&before); }
};

// Matrices first to last of a stack.
void invert_part(const Kernel& kernel, int n, Method method, const double* A, Results to,
                 long first, long last) {
  const DefaultEnvironment environment;
  const long N = (long)n * n;
  kernel.invert(n, method, A + first * N,
                {to.X + first * N, to.error + first, to.residual + first, to.relative + first,
                 to.finished + first},
                last - first);
}

void invert_stack(const Kernel& kernel, int n, Method method, const double* A, Results to,
                  long count, int threads) {
  const long blocks = (count + kernel.lanes - 1) / kernel.lanes;
  threads = (int)std::max(1L, std::min<long>(threads, blocks));
  auto bound = [&](int t) { return std::min(count, blocks * t / threads * kernel.lanes); };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; t++)
    others.emplace_back(invert_part, std::cref(kernel), n, method, A, to, bound(t), bound(t + 1));
  invert_part(kernel, n, method, A, to, 0, bound(1));
  for (auto& other : others) other.join();
}

const Kernel* best() {
  for (const Kernel* kernel : kernels)
    if (kernel->supported()) return kernel;
  return nullptr;
}

const Kernel* chosen = nullptr;

using In = nb::ndarray<const double, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
template <class T, int dims> using Out = nb::ndarray<T, nb::ndim<dims>, nb::c_contig, nb::device::cpu>;

void invert_into(In A, Out<double, 3> X, Out<double, 2> bounds, Out<bool, 1> finished, bool network,
                 int threads) {
  const size_t count = A.shape(0), n = A.shape(1);
  if (n < 1 || n > (size_t)largest_order || A.shape(2) != n || X.shape(0) != count ||
      X.shape(1) != n || X.shape(2) != n || bounds.shape(0) != 3 || bounds.shape(1) != count ||
      finished.shape(0) != count)
    throw std::invalid_argument("the arrays' shapes do not belong together");
  double* b = bounds.data();
  const Results to{X.data(), b, b + count, b + 2 * count, finished.data()};
  const nb::gil_scoped_release unlocked;
  invert_stack(*chosen, (int)n, network ? Method::network : Method::elimination, A.data(), to,
               (long)count, threads);
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
  throw std::invalid_argument("this processor or build has no kernel for " + name);
}

}  // namespace
}  // namespace dmx

NB_MODULE(_kernel, m) {
  using namespace dmx;
  chosen = best();
  if (!chosen) throw std::runtime_error("no instruction set of this build is supported");
  m.attr("LARGEST_ORDER") = largest_order;
  m.attr("COMPILER") = DMX_COMPILER;
  m.def("instruction_set", [] { return chosen->name; });
  m.def("instruction_sets", supported);
  m.def("use", use);
  m.def("invert_into", invert_into, nb::arg("A").noconvert(), nb::arg("X").noconvert(),
        nb::arg("bounds").noconvert(), nb::arg("finished").noconvert(), nb::arg("network"),
        nb::arg("threads"));
}
