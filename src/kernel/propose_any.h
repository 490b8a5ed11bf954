// The two proposers for orders above the templates': the same formulas in loops.
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
  newton_lanes(p, right, P, below, corner);
  multiply_lanes(p, q, p, P, p, A + p, n,
                 [&](int i, int j, Vf c) DMX_LAMBDA { right[i * q + j] = c; });
  multiply_lanes(q, p, p, A + p * n, n, P, p,
                 [&](int i, int j, Vf c) DMX_LAMBDA { below[i * p + j] = c; });
  multiply_lanes(q, q, p, A + p * n, n, right, q, [&](int i, int j, Vf c) DMX_LAMBDA {
    Q[i * q + j] = A[(p + i) * n + p + j] - c;
  });
  std::memcpy(corner, Q, sizeof(Vf) * q * q);
  halve_lanes(q, Q, rest);
  newton_lanes(q, corner, Q, rest, rest + most);
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

// The first row from k on whose entry in column k is largest.
inline int pivot_row(int n, int ld, const float* M, int k) {
  uint64_t best = 0;  // the bits of a modulus order as it does; the rows below count backwards
  for (int i = k; i < n; i++) {
    uint32_t bits;
    std::memcpy(&bits, M + i * ld + k, sizeof bits);
    const uint64_t key = (uint64_t)(bits & 0x7fffffff) << 32 | (uint32_t)(n - i);
    best = key > best ? key : best;
  }
  return n - (int)(uint32_t)best;
}

// A step of Gauss-Jordan elimination: row p becomes row k, divided by its entry in column k, whose
// place takes the inverse's column. A row has so many vectors, a constant where they are few;
// places are 0, 1, ... LF - 1.
template <class Count>
DMX_INLINE void eliminate_column(int n, Count vectors, float* M, int k, int p, If places) {
  constexpr int most = largest_order / LF;
  const int ld = vectors * LF;
  If here[most];
  Vf row[most];
  const Vf inverse = splat(1.0f / M[p * ld + k]);
  Vf *own = (Vf*)(M + k * ld), *other = (Vf*)(M + p * ld);
  for (int v = 0; v < vectors; v++) {
    here[v] = places == k - v * LF;
    row[v] = here[v] ? inverse : other[v] * inverse;
    other[v] = own[v];
    own[v] = row[v];
  }
  for (int i = 0; i < n; i++) {
    if (i == k) continue;
    Vf* r = (Vf*)(M + i * ld);
    const Vf f = splat(M[i * ld + k]);
    for (int v = 0; v < vectors; v++) r[v] = (here[v] ? Vf{} : r[v]) - f * row[v];
  }
}

// The inverse of the row-major M with rows ld apart, in place but for its columns: column j of the
// inverse is column source[j] of what is left. Partial pivoting.
inline void eliminate_rows(int n, int ld, float* M, int* source) {
  int pivot[largest_order];
  If places;
  for (int l = 0; l < LF; l++) places[l] = l;
  for (int k = 0; k < n; k++) {
    const int p = pivot[k] = pivot_row(n, ld, M, k);
    switch (ld / LF) {
      case 2: eliminate_column(n, std::integral_constant<int, 2>{}, M, k, p, places); break;
      case 3: eliminate_column(n, std::integral_constant<int, 3>{}, M, k, p, places); break;
      case 4: eliminate_column(n, std::integral_constant<int, 4>{}, M, k, p, places); break;
      default: eliminate_column(n, ld / LF, M, k, p, places);
    }
  }
  for (int j = 0; j < n; j++) source[j] = j;
  for (int k = n - 1; k >= 0; k--) std::swap(source[k], source[pivot[k]]);
}

}  // namespace
