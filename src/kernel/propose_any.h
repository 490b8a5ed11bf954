// The neural proposer for orders above the templates': the same formulas in loops.
#pragma once
#include "batch.h"
#include "vec.h"

namespace dmx::DMX_ISA {

// C (n, m) = A (n, k) X (k, m) in lanes, n, m >= 4; finish(i, j, C_ij), for some entries twice.
template <class Finish>
DMX_INLINE void multiply_lanes(int n, int m, int k, const Vf* A, int la, const Vf* X, int lx,
                               Finish&& finish) {
  constexpr int T = LD == 8 ? 4 : 3;
  for (int i0 = 0; i0 < n; i0 += T) {
    const int i = i0 + T <= n ? i0 : n - T;
    for (int j0 = 0; j0 < m; j0 += T) {
      const int j = j0 + T <= m ? j0 : m - T;
      Vf c[T][T] = {};
      for (int q = 0; q < k; q++) {
        Vf row[T];
        unrolled<T>([&](auto b) DMX_LAMBDA { row[b] = X[q * lx + j + b]; });
        unrolled<T>([&](auto a) DMX_LAMBDA {
          Vf f = A[(i + a) * la + q];
          keep(f);
          unrolled<T>([&](auto b) DMX_LAMBDA { c[a][b] += f * row[b]; });
        });
      }
      unrolled<T>([&](auto a) DMX_LAMBDA {
        unrolled<T>([&](auto b) DMX_LAMBDA { finish(i + a, j + b, c[a][b]); });
      });
    }
  }
}

// X + X (I - A X), in place; R and Y are room for n x n each.
inline void newton_lanes(int n, const Vf* A, Vf* X, Vf* R, Vf* Y) {
  multiply_lanes(n, n, n, A, n, X, n, [&](int i, int j, Vf c) DMX_LAMBDA {
    R[i * n + j] = (i == j ? splat(1.0f) : Vf{}) - c;
  });
  multiply_lanes(n, n, n, X, n, R, n,
                 [&](int i, int j, Vf c) DMX_LAMBDA { Y[i * n + j] = X[i * n + j] + c; });
  std::memcpy(X, Y, sizeof(Vf) * n * n);
}

constexpr int halving_room(int n) { return 4 * n * n; }

// As halve_lanes below, and a last step for what the halves' errors have added up to.
inline void halve_lanes(int n, Vf* A, Vf* room);
inline void propose_halving(int n, Vf* A, Vf* room) {
  Vf* copy = room;
  std::memcpy(copy, A, sizeof(Vf) * n * n);
  halve_lanes(n, A, room + n * n);
  newton_lanes(n, copy, A, room + n * n, room + 2 * n * n);
}

// Halving<n> of propose_net.h for orders above the templates': A is overwritten by its inverse.
inline void halve_lanes(int n, Vf* A, Vf* room) {
  if (n <= batch_order) return propose_lanes(n, Method::network, A);
  const int p = n / 2, q = n - p, most = q * q;
  Vf *P = room, *Q = P + most, *right = Q + most, *below = right + most, *corner = below + most,
     *rest = corner + most;
  for (int i = 0; i < p; i++) std::memcpy(P + i * p, A + i * n, sizeof(Vf) * p);
  std::memcpy(right, P, sizeof(Vf) * p * p);
  halve_lanes(p, P, rest);
  if (p > batch_order) newton_lanes(p, right, P, below, corner);  // smaller ones come refined
  multiply_lanes(p, q, p, P, p, A + p, n,
                 [&](int i, int j, Vf c) DMX_LAMBDA { right[i * q + j] = c; });
  multiply_lanes(q, p, p, A + p * n, n, P, p,
                 [&](int i, int j, Vf c) DMX_LAMBDA { below[i * p + j] = c; });
  multiply_lanes(q, q, p, A + p * n, n, right, q, [&](int i, int j, Vf c) DMX_LAMBDA {
    Q[i * q + j] = A[(p + i) * n + p + j] - c;
  });
  std::memcpy(corner, Q, sizeof(Vf) * q * q);
  halve_lanes(q, Q, rest);
  if (q > batch_order) newton_lanes(q, corner, Q, rest, rest + most);
  for (int i = 0; i < q; i++)
    std::memcpy(A + (p + i) * n + p, Q + i * q, sizeof(Vf) * q);
  multiply_lanes(p, q, q, right, q, Q, q, [&](int i, int j, Vf c) DMX_LAMBDA {
    A[i * n + p + j] = corner[i * q + j] = -c;
  });
  multiply_lanes(q, p, q, Q, q, below, p,
                 [&](int i, int j, Vf c) DMX_LAMBDA { A[(p + i) * n + j] = -c; });
  multiply_lanes(p, p, q, corner, q, below, p,
                 [&](int i, int j, Vf c) DMX_LAMBDA { A[i * n + j] = P[i * p + j] - c; });
}

}  // namespace
