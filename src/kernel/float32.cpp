// float32 stacks: inverted in float64, which holds them exactly, and rounded once at the end.
//
// With Z the float32 result and z = X - Z, which float64 holds exactly unless Z overflows,
// ||A^-1 - Z|| <= E + P.|z| for the bound E on ||A^-1 - X||.
#include "float32.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "series.h"

namespace dmx::DMX_ISA {
namespace {

constexpr double tight32 = 0x1p-21;

double raise(int n) { return 1 + (4 * n + 64) * U; }

// One matrix: rounds X to Z and its bounds with it.
void round_one(int n, const float* A, const double* X, float* Z, double& error, double& residual,
               double& relative, uint8_t& state) {
  double rounding = 0, size = 0, norm = 0, check = 0;
  for (int i = 0; i < n; i++) {
    double z = 0, s = 0, a = 0;
    for (int j = 0; j < n; j++) {
      const int e = i * n + j;
      Z[e] = (float)X[e];
      z += std::fabs(X[e] - (double)Z[e]);
      s += std::fabs((double)Z[e]);
      a += std::fabs((double)A[e]);
    }
    rounding = std::fmax(rounding, z), size = std::fmax(size, s), norm = std::fmax(norm, a);
    check += z - z;
  }
  error = (error + rounding) * raise(n);
  if (check != 0 || !(error < 0x1p1000)) {
    error = residual = relative = infinite;
    state = 0;
    std::fill_n(Z, n * n, std::nanf(""));
    return;
  }
  residual = error * (norm * raise(n)) * raise(n) + 0x1p-1022;
  relative = size > 0 ? error / size * raise(n) : infinite;
  if (!(relative <= tight32)) state &= ~finished;
  if (!distinct(n, residual)) state &= ~plain;
}

}  // namespace

void invert_float32(int n, Method method, const float* A, Results32 to, long count, Invert invert) {
  const long N = (long)n * n, chunk = 16 * LF;
  std::vector<double> wide(2 * N * (count < chunk ? count : chunk));
  double *a = wide.data(), *x = a + wide.size() / 2;
  for (long k = 0; k < count; k += chunk) {
    const long m = count - k < chunk ? count - k : chunk;
    for (long e = 0; e < m * N; e++) a[e] = A[k * N + e];
    for (long e = 0; method == Method::given && e < m * N; e++) x[e] = to.X[k * N + e];
    invert(n, method, a, Results{x, to.error + k, to.residual + k, to.relative + k, to.state + k},
           m);
    for (long q = 0; q < m; q++)
      round_one(n, A + (k + q) * N, x + q * N, to.X + (k + q) * N, to.error[k + q],
                to.residual[k + q], to.relative[k + q], to.state[k + q]);
  }
}

}  // namespace dmx::DMX_ISA
