// One instruction set's kernel.
#include <algorithm>
#include <memory>
#include <vector>

#include "batch.h"
#include "certify.h"
#include "float32.h"
#include "halving.h"
#include "passes.h"
#include "rows.h"
#include "series.h"
#include "slow.h"
#include "solve.h"
#include "spectral.h"
#include "vec.h"
#include "zeros.h"

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

void invert_once(int n, Method method, const double* A, Results to, long count) {
  if (n <= batch_order) invert_batch(n, method, A, to, count);
  else invert_rows(n, method, A, to, count);
}

// The matrices of one chunk that are not finished, taken together once more in another order of
// their rows or columns: a leading block may be badly conditioned where the matrix is not.
// (P A)^-1 = A^-1 P^-1 and (A P)^-1 = P^-1 A^-1, whose bounds are those of A^-1.
class Retry {
  static constexpr int most = 8 * LF;
  const int n, N;
  const std::unique_ptr<double[]> A, X;  // only as much of them is touched as matrices come
  double numbers[3 * most];
  uint8_t state[most];
  std::vector<long> which;

 public:
  enum class Reversed { rows, columns };
  explicit Retry(int n)
      : n(n), N(n * n), A(new double[most * N]), X(new double[most * N]) {}

  void run(Reversed what, Method method, const double* all, const Results& to, long count) {
    for (long k = 0; k < count; k++) {
      if (to.state[k] & finished) continue;
      reverse(what == Reversed::rows, all + k * N, A.get() + which.size() * N);
      which.push_back(k);
      if (which.size() == most) flush(what, method, to);
    }
    flush(what, method, to);
  }

 private:
  void reverse(bool rows, const double* from, double* into) const {
    for (int i = 0; i < n; i++)
      for (int j = 0; j < n; j++)
        into[i * n + j] = rows ? from[(n - 1 - i) * n + j] : from[i * n + n - 1 - j];
  }

  void flush(Reversed what, Method method, const Results& to) {
    const long m = (long)which.size();
    const Results part{X.get(), numbers, numbers + most, numbers + 2 * most, state};
    invert_once(n, method, A.get(), part, m);
    for (long q = 0; q < m; q++) {
      const long k = which[q];
      if (!(part.relative[q] < to.relative[k])) continue;
      reverse(what == Reversed::columns, X.get() + q * N, to.X + k * N);
      to.error[k] = part.error[q];
      to.residual[k] = part.residual[q];
      to.relative[k] = part.relative[q];
      to.state[k] = part.state[q];
    }
    which.clear();
  }
};

// Whether all matrices are finished.
bool all_finished(const Results& to, long count) {
  uint8_t all = finished;
  for (long k = 0; k < count; k++) all &= to.state[k];
  return all;
}

// What is left to do for the matrix at A, entry k, unless it is finished, plain and nothing else.
void settle(int n, const double* A, const Results& to, long k) {
  if (!(to.state[k] & finished) || (to.state[k] & uneven)) invert_carefully(n, A, to, k);
  double* X = to.X + k * n * n;
  if (!(to.error[k] < infinite)) std::fill_n(X, n * n, std::nan(""));
  // The norm that divides the relative bound is smaller now, by at most what its error was.
  if ((to.state[k] & sparse) && (to.state[k] & finished) && put_structural_zeros(n, A, X))
    to.relative[k] *= 1 + 0x1p-20;
  if (!(to.state[k] & uneven) && !distinct(n, to.residual[k])) to.state[k] &= ~plain;
}

void invert_all(int n, Method method, const double* A, Results to, long count) {
  invert_once(n, method, A, to, count);
  if (method == Method::network && n > 1 && !all_finished(to, count)) {
    Retry retry(n);
    retry.run(Retry::Reversed::rows, method, A, to, count);
    retry.run(Retry::Reversed::columns, method, A, to, count);
  }
  for (long k = 0; k < count; k++)
    if (to.state[k] != (finished | plain)) settle(n, A + k * n * n, to, k);
}

void invert(int n, Method method, const double* A, Results to, long count) {
  invert_all(n, method, A, to, count);
  for (long k = 0; k < count; k++) to.state[k] &= finished | plain;
}

void invert32(int n, Method method, const float* A, Results32 to, long count) {
  invert_float32(n, method, A, to, count, invert_all);
}

long multiply_adds(long rounds, double& result) {
  constexpr int chains = LD == 8 ? 24 : 12;  // more than latency asks for, and within the registers
  const Vd factor = splat(0.5) + result, term = splat(1.0);
  Vd sums[chains];
  for (int c = 0; c < chains; c++) sums[c] = splat(c + result);  // or they would be computed once
  for (long r = 0; r < rounds; r++)
    unrolled<chains>([&](auto c) DMX_LAMBDA { sums[c] = sums[c] * factor + term; });
  for (int c = 1; c < chains; c++) sums[0] += sums[c];
  result = sums[0][0];
  return rounds * chains * LD;
}

}  // namespace

extern const Kernel kernel;
const Kernel kernel = {DMX_NAME, LF, supported, invert, invert32, solve_systems, certify_pairs,
                       spectral_start, spectral_descend, halve,
                       {products, moduli, squares, doubled_product}, multiply_adds};

}  // namespace dmx::DMX_ISA
