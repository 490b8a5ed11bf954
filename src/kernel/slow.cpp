// Equilibration, elimination in float64, and corrections with residuals of twice the precision.
//
// Compiled without contraction: two-sums and two-products are exact only as they are written.
//
// Notation of series.h. B = 2^-r A 2^-c, r and c integers for rows and columns, |B| < 2, so
// A^-1 = 2^-c B^-1 2^-r. Let w_j = 2^(r_min - r_j) <= 1, and ||M||w = max_i sum_j |M_ij| w_j, for
// which ||M N||w <= ||M|| ||N||w. Everything below is series.h once more, with the rightmost factor
// measured in ||.||w, so that rows and columns of different scale do not spoil each other's bounds.
//
// 1. R = fl(I - B X) with n + 1 summands, each product and sum split without error and the errors
//    summed apart, gives |R - R0| <= u |R0| + g^2 (I + |B||X|) [Ogita, Rump, Oishi 2005, prop. 5.5],
//    so with H = 1.05 (n + 2)^2 u^2, b_i = sum_k |B_ik|, x_j = max_k |X_kj| and 2^-900 for underflow
//    (|X| < 2^60),
//
//        |R - R0|_ij <= 1.01 u |R_ij| + H (1 + b_i x_j) + 2^-900                                (1)
//
//    whose norms are delta and delta_w; rho = P.|R| + delta, rho_w = P_w.|R| + delta_w.
//
// 2. Y = R + R^2 + ... + R^m by Horner's rule, Y <- fl(R + fl(R Y)), against Z = R0/(I - R0). With
//    rho <= 1/4 and zeta_w = 1.4 rho_w >= ||Y||w: powers of R for those of R0 cost
//    delta_w/(1 - rho) + delta rho_w/(1 - rho)^2, each round G rho zeta_w + 2 u zeta_w, summed up to
//    1/(1 - rho) of it; the terms left out rho^m rho_w/(1 - rho):
//
//        ||Y - Z||w <= eta_w = 1.8 (delta_w + delta rho_w + G rho zeta_w + 2.1 u zeta_w)
//                              + 1.4 rho^m rho_w + 2^-900                                       (2)
//
// 3. C = fl(X Y), X1 = fl(X + C), d = X + C - X1 exactly by a two-sum:
//
//        sum_j |B^-1 - X1|_ij w_j <= sum_j |d_ij| w_j + (sum_k |X_ik|) (G zeta_w + eta_w)       (3)
//
//    and row i of A^-1 - 2^-c X1 2^-r is at most 2^-(c_i + r_min) times that, plus (n + 1) 2^-1074
//    for entries and a bound that round among the subnormals.
#include "slow.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "evened.h"
#include "exact.h"
#include "series.h"

namespace dmx::DMX_ISA {
namespace {

constexpr int rounds = 6;

// X = B^-1 by Gauss-Jordan elimination in place, with partial pivoting.
void eliminate_one(Evened& s) {
  const int n = s.n;
  double* X = s.X;
  int pivot[largest_order];
  std::memcpy(X, s.B, sizeof(double) * n * n);
  for (int k = 0; k < n; k++) {
    int p = k;
    for (int i = k + 1; i < n; i++)
      if (std::fabs(X[i * n + k]) > std::fabs(X[p * n + k])) p = i;
    pivot[k] = p;
    if (p != k)
      for (int j = 0; j < n; j++) std::swap(X[k * n + j], X[p * n + j]);
    const double inverse = 1 / X[k * n + k];
    X[k * n + k] = 1;
    for (int j = 0; j < n; j++) X[k * n + j] *= inverse;
    for (int i = 0; i < n; i++) {
      if (i == k) continue;
      const double f = X[i * n + k];
      X[i * n + k] = 0;
      for (int j = 0; j < n; j++) X[i * n + j] -= f * X[k * n + j];
    }
  }
  for (int k = n - 1; k >= 0; k--)
    if (pivot[k] != k)
      for (int i = 0; i < n; i++) std::swap(X[i * n + k], X[i * n + pivot[k]]);
}

// R = I - B X, as if computed in twice the precision
void residual(Evened& s) {
  const int n = s.n;
  double high[largest_order], low[largest_order];
  for (int i = 0; i < n; i++) {
    for (int j = 0; j < n; j++) high[j] = i == j ? 1 : 0, low[j] = 0;
    for (int k = 0; k < n; k++) {
      const double f = -s.B[i * n + k];
      const double* x = s.X + k * n;
      for (int j = 0; j < n; j++) {
        double p, e, t, q;
        two_product(f, x[j], p, e);
        two_sum(high[j], p, t, q);
        high[j] = t;
        low[j] += e + q;
      }
    }
    for (int j = 0; j < n; j++) s.R[i * n + j] = high[j] + low[j];
  }
}

// C = A X, or C = A X + S
void multiply(int n, const double* A, const double* X, const double* S, double* C) {
  for (int i = 0; i < n; i++) {
    double sum[largest_order] = {};
    for (int k = 0; k < n; k++) {
      const double f = A[i * n + k];
      for (int j = 0; j < n; j++) sum[j] += f * X[k * n + j];
    }
    for (int j = 0; j < n; j++) C[i * n + j] = S ? S[i * n + j] + sum[j] : sum[j];
  }
}

// (1): the norms of what R may be off by, and of R and R0
void residual_norms(const Evened& s, Norms& delta, Norms& rho) {
  const int n = s.n;
  const double H = 1.05 * (n + 2) * (n + 2) * U * U, raise = 1 + (4 * n + 64) * U;
  double top[largest_order] = {};
  for (int k = 0; k < n; k++)
    for (int j = 0; j < n; j++) {
      const double x = std::fabs(s.X[k * n + j]);
      top[j] = x > top[j] ? x : top[j];
    }
  delta = rho = {0, 0};
  double check = 0;
  for (int i = 0; i < n; i++) {
    Norms d = {0, 0}, r = {0, 0};
    for (int j = 0; j < n; j++) {
      const double R = std::fabs(s.R[i * n + j]);
      const double off = 1.01 * U * R + H * (1 + s.b[i] * top[j]) + 0x1p-900;
      d.plain += off, d.weighted += off * s.w[j];
      r.plain += R, r.weighted += R * s.w[j];
    }
    delta.plain = std::fmax(delta.plain, d.plain * raise);
    delta.weighted = std::fmax(delta.weighted, d.weighted * raise);
    rho.plain = std::fmax(rho.plain, (r.plain + d.plain) * raise);
    rho.weighted = std::fmax(rho.weighted, (r.weighted + d.weighted) * raise);
    check += r.plain - r.plain;
  }
  if (check != 0) rho.plain = infinite;
}

// One correction of X; false where there is nothing to go on.
bool correct(Evened& s, const double* A, const Results& to, long k) {
  const int n = s.n;
  double top = 0;
  for (int e = 0; e < n * n; e++) top = std::fmax(top, std::fabs(s.X[e]));
  if (!(top < 0x1p60)) return false;
  residual(s);
  Norms delta, rho;
  residual_norms(s, delta, rho);
  if (!(rho.plain <= 0.25)) return false;
  double left = rho.plain;  // rho^m
  std::memcpy(s.Y, s.R, sizeof(double) * n * n);
  for (; left > 0x1p-58; left *= rho.plain) {
    multiply(n, s.R, s.Y, s.R, s.Z);
    std::memcpy(s.Y, s.Z, sizeof(double) * n * n);
  }
  left *= 1 + 64 * U;
  multiply(n, s.X, s.Y, nullptr, s.Z);
  for (int e = 0; e < n * n; e++) {
    double sum;
    two_sum(s.X[e], s.Z[e], sum, s.D[e]);
    s.Z[e] = sum;
  }
  const double G = 1.01 * (n + 2) * U;
  const auto term = [&](double delta_w, double rho_w) {
    const double zeta = 1.4 * rho_w;
    const double eta = 1.8 * (delta_w + delta.plain * rho_w + G * rho.plain * zeta + 2.1 * U * zeta) +
                       1.4 * left * rho_w + 0x1p-900;
    return G * zeta + eta;
  };
  keep_best(s, A, {term(delta.plain, rho.plain), term(delta.weighted, rho.weighted)}, to, k);
  std::memcpy(s.X, s.Z, sizeof(double) * n * n);
  return true;
}

}  // namespace

void invert_carefully(int n, const double* A, const Results& to, long k) {
  Evened s;
  s.n = n;
  if (!equilibrate(s, A)) return;
  const double before = to.relative[k];
  const uint8_t known = to.state[k];
  if (before < 0x1p-20) {
    for (int i = 0; i < n; i++)
      for (int j = 0; j < n; j++)
        s.X[i * n + j] = std::ldexp(to.X[k * n * n + i * n + j], s.c[i] + s.r[j]);
  } else {
    eliminate_one(s);
  }
  // A proof by norms of uneven lines is worth less than any of theirs.
  if (known & uneven) to.relative[k] = infinite, to.state[k] &= ~finished;
  for (int round = 0; round < rounds && !(to.state[k] & finished); round++)
    if (!correct(s, A, to, k)) break;
  if (to.relative[k] == infinite) to.relative[k] = before, to.state[k] = known;
}

}  // namespace dmx::DMX_ISA
