// float32 stacks: inverted in float64, which holds them exactly, and rounded once at the end.
//
// With Z the float32 result and z = X - Z, which float64 holds exactly unless Z overflows,
// ||A^-1 - Z|| <= E + P.|z| for the bound E on ||A^-1 - X||. Where lines are uneven, the bound on
// ||I - Z A|| grows by sum_k |z_ik| a_k, a the row sums of |A|, and the relative error of the evenly
// scaled pair (evened.cpp) by what z is in it.
#include "float32.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "evened.h"
#include "series.h"

namespace dmx::DMX_ISA {
namespace {

constexpr double tight32 = 0x1p-21;

double raise(int n) { return 1 + (4 * n + 64) * U; }

// What the pair of uneven A and Z, scaled evenly, is off by, relatively, if it is so by `before` for X.
double beside_even(int n, const double* A, const double* X, const float* Z, double before) {
  int r[largest_order], c[largest_order];
  if (!even_scaling(n, A, r, c)) return infinite;
  double rounding = 0, size = 0;
  for (int i = 0; i < n; i++) {
    double z = 0, s = 0;
    for (int j = 0; j < n; j++) {
      const int e = i * n + j, up = c[i] + r[j];
      z += std::ldexp(std::fabs(X[e] - (double)Z[e]), up);
      s += std::ldexp(std::fabs((double)Z[e]), up);
    }
    rounding = std::fmax(rounding, z), size = std::fmax(size, s);
  }
  return (before * (size + rounding) + rounding) / size * raise(n);
}

// One matrix: rounds X to Z and its bounds with it.
void round_one(int n, const double* A, const double* X, float* Z, double& error, double& residual,
               double& relative, uint8_t& state) {
  double rounding = 0, left = 0, size = 0, norm = 0, check = 0, a[largest_order] = {};
  for (int e = 0; e < n * n; e++) a[e / n] += std::fabs(A[e]);
  for (int i = 0; i < n; i++) {
    double z = 0, met = 0, s = 0;
    for (int j = 0; j < n; j++) {
      const int e = i * n + j;
      Z[e] = (float)X[e];
      const double lost = std::fabs(X[e] - (double)Z[e]);
      z += lost, met += lost * a[j];
      s += std::fabs((double)Z[e]);
    }
    rounding = std::fmax(rounding, z), size = std::fmax(size, s), norm = std::fmax(norm, a[i]);
    left = std::fmax(left, met);
    check += z - z;
  }
  error = (error + rounding) * raise(n);
  if (check != 0 || !(error < 0x1p1000)) {
    error = residual = relative = infinite;
    state = 0;
    std::fill_n(Z, n * n, std::nanf(""));
    return;
  }
  const double before = relative;
  relative = size > 0 ? error / size * raise(n) : infinite;
  if (state & uneven && state & plain) {
    relative = std::fmax(relative, beside_even(n, A, X, Z, before));
    residual = (residual + left) * raise(n) + 0x1p-1022;
  } else {
    residual = error * (norm * raise(n)) * raise(n) + 0x1p-1022;
    if (!distinct(n, residual)) state &= ~plain;
  }
  if (!(relative <= tight32)) state &= ~finished;
  state &= finished | plain;
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
      round_one(n, a + q * N, x + q * N, to.X + (k + q) * N, to.error[k + q],
                to.residual[k + q], to.relative[k + q], to.state[k + q]);
  }
}

}  // namespace dmx::DMX_ISA
