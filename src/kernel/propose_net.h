// The neural proposer in float32: residual-feedback networks of order 2 at the leaves of a halving
// with Schur complements. Its formulas are those of nets/feedback.py, untrained (the trained weights
// of small orders differ in the third decimal); lanes take the part of the batch there.
#pragma once
#include "tiles.h"

namespace dmx::DMX_ISA {

// The lanes of two blocks. Where matrices are small one block's results are waited for most of the
// time, and two take little more of it.
struct Pair {
  Vf a, b;
  DMX_INLINE Pair operator-() const { return {-a, -b}; }
  DMX_INLINE Pair& operator+=(Pair p) { return a += p.a, b += p.b, *this; }
};
struct PairMask {
  If a, b;
};
DMX_INLINE Pair operator+(Pair p, Pair q) { return {p.a + q.a, p.b + q.b}; }
DMX_INLINE Pair operator-(Pair p, Pair q) { return {p.a - q.a, p.b - q.b}; }
DMX_INLINE Pair operator*(Pair p, Pair q) { return {p.a * q.a, p.b * q.b}; }
DMX_INLINE Pair operator+(Pair p, float x) { return {p.a + x, p.b + x}; }
DMX_INLINE Pair operator*(float x, Pair p) { return {x * p.a, x * p.b}; }
DMX_INLINE Pair operator/(float x, Pair p) { return {x / p.a, x / p.b}; }
DMX_INLINE Pair operator/(Pair p, Pair q) { return {p.a / q.a, p.b / q.b}; }
DMX_INLINE PairMask operator<(Pair p, Pair q) { return {p.a < q.a, p.b < q.b}; }
DMX_INLINE Pair larger(Pair p, Pair q) { return {larger(p.a, q.a), larger(p.b, q.b)}; }
DMX_INLINE void keep(Pair& p) { keep(p.a), keep(p.b); }
DMX_INLINE Vf chosen(If where, Vf p, Vf q) { return where ? p : q; }
DMX_INLINE Pair chosen(PairMask where, Pair p, Pair q) {
  return {chosen(where.a, p.a, q.a), chosen(where.b, p.b, q.b)};
}

template <int n, class V> struct Small {
  V e[n * n];
};

template <int n, class V> DMX_INLINE V inner(const Small<n, V>& P, const Small<n, V>& Q) {
  V sum{};
  unrolled<n * n>([&](auto i) DMX_LAMBDA { sum += P.e[i] * Q.e[i]; });
  return sum;
}
// P + t Q, in place
template <int n, class V> DMX_INLINE void add(Small<n, V>& P, V t, const Small<n, V>& Q) {
  unrolled<n * n>([&](auto i) DMX_LAMBDA { P.e[i] += t * Q.e[i]; });
}
template <int n, class V> DMX_INLINE Small<n, V> scaled(V t, const Small<n, V>& Q) {
  Small<n, V> P;
  unrolled<n * n>([&](auto i) DMX_LAMBDA { P.e[i] = t * Q.e[i]; });
  return P;
}
template <int n, class V> DMX_INLINE Small<n, V> operator*(const Small<n, V>& A, const Small<n, V>& X) {
  Small<n, V> C;
  product<n>(A.e, X.e, [&](int i, int j, V c) DMX_LAMBDA { C.e[i * n + j] = c; });
  return C;
}
template <int n, class V> DMX_INLINE Small<n, V> residual_of(const Small<n, V>& A, const Small<n, V>& X) {
  Small<n, V> R = A * X;
  for (int i = 0; i < n; i++)
    unrolled<n>([&](auto j) DMX_LAMBDA {
      R.e[i * n + j] = (i == j ? V{} + 1.0f : V{}) - R.e[i * n + j];
    });
  return R;
}

// The polynomial of degree 1 in R that leaves least of it: X steps along X itself, whose image is
// W = I - R; what is rounding in W gets no say (the quotient of signal and noise).
template <int n, class V> DMX_INLINE Small<n, V> polynomial_step(const Small<n, V>& X, const Small<n, V>& R) {
  constexpr float rounding = 1e-7f;
  Small<n, V> W = scaled(V{} + -1.0f, R);
  unrolled<n>([&](auto i) DMX_LAMBDA { W.e[i * n + i] = W.e[i * n + i] + 1.0f; });
  return scaled(inner(W, R) / (inner(W, W) + n * rounding * rounding), X);
}

// The best step in the space of `directions` products of X and what is left of R: global GMRES.
template <int n, int directions, class V>
DMX_INLINE Small<n, V> measured_step(const Small<n, V>& A, const Small<n, V>& X, Small<n, V> R) {
  Small<n, V> Z[directions], W[directions], S{};
  V per_size[directions];
  unrolled<directions>([&](auto q) DMX_LAMBDA {
    Z[q] = X * R;
    W[q] = A * Z[q];
    const V floor = 1e-10f * inner(W[q], W[q]);
    unrolled<q>([&](auto p) DMX_LAMBDA {
      const V t = inner(W[p], W[q]) * per_size[p];
      add(Z[q], -t, Z[p]);
      add(W[q], -t, W[p]);
    });
    per_size[q] = 1.0f / larger(inner(W[q], W[q]) + floor, V{} + 1e-30f);
    const V t = inner(R, W[q]) * per_size[q];
    add(R, -t, W[q]);
    add(S, t, Z[q]);
  });
  return S;
}

// X + S where that leaves less, X where not: each lane for itself.
template <int n, class V>
DMX_INLINE void guarded(const Small<n, V>& A, Small<n, V>& X, Small<n, V>& R, V& square, const Small<n, V>& S) {
  Small<n, V> next = X;
  add(next, V{} + 1.0f, S);
  const Small<n, V> left = residual_of(A, next);
  const V size = inner(left, left);
  const auto better = size < square;
  unrolled<n * n>([&](auto i) DMX_LAMBDA {
    X.e[i] = chosen(better, next.e[i], X.e[i]);
    R.e[i] = chosen(better, left.e[i], R.e[i]);
  });
  square = chosen(better, size, square);
}

// The network, for order 2 (and 1, which is a division): A of any norm. What nets/feedback.py divides
// by norms, A and residuals, comes back as it was, and is not divided here.
template <int n, class V> DMX_INLINE Small<n, V> leaf(const Small<n, V>& A) {
  if constexpr (n == 1) {
    return {{1.0f / A.e[0]}};
  } else {
    const V scale = 1.0f / inner(A, A);
    Small<n, V> X;
    for (int i = 0; i < n; i++)
      unrolled<n>([&](auto j) DMX_LAMBDA { X.e[i * n + j] = scale * A.e[j * n + i]; });
    Small<n, V> R = residual_of(A, X);
    V square = inner(R, R);
    guarded(A, X, R, square, polynomial_step(X, R));
    guarded(A, X, R, square, measured_step<n, n>(A, X, R));
    return X;
  }
}

// C (n, m) = A (n, k) X (k, m), rows la, lx and lc apart; then finish(i, j, C_ij)
template <int n, int m, int k, class V, class Finish>
DMX_INLINE void rectangular(const V* A, int la, const V* X, int lx, Finish&& finish) {
  for (int i = 0; i < n; i++)
    unrolled<m>([&](auto j) DMX_LAMBDA {
      V c = A[i * la] * X[j];
      unrolled<k - 1>([&](auto q) DMX_LAMBDA { c += A[i * la + q + 1] * X[(q + 1) * lx + j]; });
      finish(i, j, c);
    });
}

// A Newton step: the recursion multiplies what its halves leave.
template <int n, class V> DMX_INLINE void newton(const Small<n, V>& A, Small<n, V>& X) {
  add(X, V{} + 1.0f, X * residual_of(A, X));
}

// Halves: P = A11^-1, Q = (A22 - A21 P A12)^-1, and the inverse out of both.
template <int n, class V> struct Halving {
  static DMX_APART void invert(const Small<n, V>& A, Small<n, V>& X) {
    if constexpr (n <= 2) {
      X = leaf(A);
    } else {
      constexpr int p = n / 2, q = n - p;
      Small<p, V> first, P;
      for (int i = 0; i < p; i++)
        unrolled<p>([&](auto j) DMX_LAMBDA { first.e[i * p + j] = A.e[i * n + j]; });
      Halving<p, V>::invert(first, P);
      newton(first, P);
      V right[p * q], below[q * p], corner[p * q];  // P A12, A21 P, -P A12 Q
      rectangular<p, q, p>(P.e, p, A.e + p, n,
                           [&](int i, int j, V c) DMX_LAMBDA { right[i * q + j] = c; });
      rectangular<q, p, p>(A.e + p * n, n, P.e, p,
                           [&](int i, int j, V c) DMX_LAMBDA { below[i * p + j] = c; });
      Small<q, V> S, Q;
      rectangular<q, q, p>(A.e + p * n, n, right, q, [&](int i, int j, V c) DMX_LAMBDA {
        S.e[i * q + j] = A.e[(p + i) * n + p + j] - c;
      });
      Halving<q, V>::invert(S, Q);
      newton(S, Q);
      for (int i = 0; i < q; i++)
        unrolled<q>([&](auto j) DMX_LAMBDA { X.e[(p + i) * n + p + j] = Q.e[i * q + j]; });
      rectangular<p, q, q>(right, q, Q.e, q, [&](int i, int j, V c) DMX_LAMBDA {
        X.e[i * n + p + j] = corner[i * q + j] = -c;
      });
      rectangular<q, p, q>(Q.e, q, below, p,
                           [&](int i, int j, V c) DMX_LAMBDA { X.e[(p + i) * n + j] = -c; });
      rectangular<p, p, q>(corner, q, below, p, [&](int i, int j, V c) DMX_LAMBDA {
        X.e[i * n + j] = P.e[i * p + j] - c;
      });
    }
  }
};

// From here on a last step for what the halves' errors have added up to costs less than what it
// saves: of normal matrices of order 6, 12 and 16 it leaves 0.4, 1.4 and 2 % unfinished, not 3, 12
// and 19 %.
constexpr int refined_from = 6;

template <int n> DMX_INLINE void propose(Vf* A) {
  Small<n, Vf> M, X;
  for (int e = 0; e < n * n; e++) M.e[e] = A[e];
  Halving<n, Vf>::invert(M, X);
  if constexpr (n >= refined_from) newton(M, X);
  for (int e = 0; e < n * n; e++) A[e] = X.e[e];
}
template <int n> DMX_INLINE void propose(Vf* A, Vf* B) {
  static_assert(n < refined_from);
  Small<n, Pair> M, X;
  for (int e = 0; e < n * n; e++) M.e[e] = {A[e], B[e]};
  Halving<n, Pair>::invert(M, X);
  for (int e = 0; e < n * n; e++) A[e] = X.e[e].a, B[e] = X.e[e].b;
}

}  // namespace
