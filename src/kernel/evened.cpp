// Notation of slow.cpp; (1) to (3) are there.
//
// 4. Where A's lines are uneven, norms of A say little about small rows or columns, and the pair
//    (B, X1) is judged as well: by (3) with w = 1, and for the residual by what it leaves of A,
//    I - 2^-c X1 2^-r A = 2^-c (B^-1 - X1) B 2^c; with c_max the largest c, q_k = sum_j |B_kj|
//    2^(c_j - c_max) and e_i the rest of (3), w = 1,
//
//        sum_j |I - X A|_ij <= 2^(c_max - c_i) (sum_k |d_ik| q_k + e_i max q)                   (4)
//
//    if X = 2^-c X1 2^-r is exact. That is what linalg/certificate.py says of such matrices.
#include "evened.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "series.h"

namespace dmx::DMX_ISA {

bool even_scaling(int n, const double* A, int* r, int* c) {
  for (int i = 0; i < n; i++) {
    double top = 0, check = 0;
    for (int j = 0; j < n; j++) {
      const double a = std::fabs(A[i * n + j]);
      top = a > top ? a : top;
      check += a - a;
    }
    if (!(top > 0) || check != 0) return false;
    r[i] = std::ilogb(top);
  }
  for (int j = 0; j < n; j++) {
    int top = -100000;
    for (int i = 0; i < n; i++)
      if (A[i * n + j] != 0) top = std::max(top, std::ilogb(A[i * n + j]) - r[i]);
    if (top == -100000) return false;
    c[j] = top;
  }
  return true;
}

bool equilibrate(Evened& s, const double* A) {
  const int n = s.n;
  if (!even_scaling(n, A, s.r, s.c)) return false;
  s.r_min = *std::min_element(s.r, s.r + n), s.c_max = *std::max_element(s.c, s.c + n);
  for (int j = 0; j < n; j++) s.w[j] = std::ldexp(1.0, std::max(s.r_min - s.r[j], -1000));
  double v[largest_order];
  for (int j = 0; j < n; j++) v[j] = std::ldexp(1.0, std::max(s.c[j] - s.c_max, -1000));
  for (int i = 0; i < n; i++) {
    double sum = 0, weighted = 0;
    for (int j = 0; j < n; j++) {
      const double b = s.B[i * n + j] = std::ldexp(A[i * n + j], -(s.r[i] + s.c[j]));
      sum += std::fabs(b), weighted += std::fabs(b) * v[j];
    }
    s.b[i] = sum * (1 + 2 * n * U), s.q[i] = weighted * (1 + 2 * n * U);
  }
  return true;
}

namespace {

// X1 at A's own scale, and what is proven of it by the rest `term` of (3).
struct Unscaled {
  double X[Evened::room];
  double error, residual, relative;
  bool exact;  // not rounded on the way
};

bool unscale(const Evened& s, const double* A, double term, Unscaled& to) {
  const int n = s.n;
  const double raise = 1 + (4 * n + 64) * U;
  double error = 0, norm = 0, size = 0, check = 0;
  to.exact = true;
  for (int i = 0; i < n; i++) {
    double d = 0, x = 0, held = 0, a = 0;
    for (int j = 0; j < n; j++) {
      const double z = s.Z[i * n + j], moved = std::ldexp(z, -(s.c[i] + s.r[j]));
      to.X[i * n + j] = moved;
      to.exact &= z == 0 || std::fabs(moved) >= 0x1p-1022;
      d += std::fabs(s.D[i * n + j]) * s.w[j];
      x += std::fabs(s.X[i * n + j]);
      held += std::fabs(moved);
      a += std::fabs(A[i * n + j]);
    }
    const double row = std::ldexp((d + x * term) * raise, -(s.c[i] + s.r_min)) + (n + 1) * 0x1p-1074;
    error = std::fmax(error, row), norm = std::fmax(norm, a), size = std::fmax(size, held);
    check += (held - held) + (row - row);
  }
  to.error = error * raise;
  to.relative = to.error / size * raise;
  to.residual = to.error * (norm * raise) * raise + 0x1p-1022;
  return check == 0 && to.error < 0x1p1000;
}

// What is proven of the pair (B, X1) by the rest `term` of (3) with w = 1, and by (4).
struct Pair {
  double relative, residual;
  bool apart;  // from the singular matrices within n roundings of B's entries
};

Pair judge_pair(const Evened& s, double term) {
  const int n = s.n;
  const double raise = 1 + (4 * n + 64) * U;
  double error = 0, size = 0, residual = 0, spread = 0, most = 0;
  for (int k = 0; k < n; k++) most = std::fmax(most, s.q[k]);
  for (int i = 0; i < n; i++) {
    double d = 0, x = 0, held = 0, left = 0, met = 0;
    for (int k = 0; k < n; k++) {
      const double off = std::fabs(s.D[i * n + k]), z = std::fabs(s.Z[i * n + k]);
      d += off, left += off * s.q[k];
      x += std::fabs(s.X[i * n + k]);
      held += z, met += z * s.b[k];
    }
    error = std::fmax(error, d + x * term), size = std::fmax(size, held);
    residual = std::fmax(residual, std::ldexp((left + x * term * most) * raise, s.c_max - s.c[i]));
    spread = std::fmax(spread, met);
  }
  return {error / size * raise, residual * raise + 0x1p-1022, 2 * n * U * spread * raise < 1};
}

}  // namespace

void keep_best(const Evened& s, const double* A, const Norms& term, const Results& to, long k) {
  Unscaled found;
  if (!unscale(s, A, term.weighted, found)) return;
  uint8_t state = to.state[k] & ~finished;
  double most = term.weighted;
  if (state & uneven && found.exact) {
    const Pair pair = judge_pair(s, term.plain);
    found.relative = std::fmax(found.relative, pair.relative);
    found.residual = pair.residual;
    most = std::fmax(most, term.plain);
    if (pair.apart) state |= plain;
  }
  if (!(found.relative < to.relative[k])) return;
  std::memcpy(to.X + k * s.n * s.n, found.X, sizeof(double) * s.n * s.n);
  to.error[k] = found.error;
  to.residual[k] = found.residual;
  to.relative[k] = found.relative;
  to.state[k] = state;
  if (found.relative <= tight && most <= spare) to.state[k] |= finished;
}

}  // namespace dmx::DMX_ISA
