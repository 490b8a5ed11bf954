// One instruction set's kernel.
#include "batch.h"
#include "slow.h"
#include "vec.h"

namespace dmx::DMX_ISA {
namespace {

bool supported() {
#if defined(__AVX512F__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#elif defined(__SSE4_2__)
  return __builtin_cpu_supports("sse4.2");
#else
  return true;
#endif
}

void invert(int n, Method method, const double* A, Results to, long count) {
  invert_batch(n, method, A, to, count);
  for (long k = 0; k < count; k++)
    if (!to.finished[k]) invert_carefully(n, A + k * n * n, to, k);
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {DMX_NAME, LF, supported, invert};

}  // namespace dmx::DMX_ISA
