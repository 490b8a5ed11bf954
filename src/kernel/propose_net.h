// The neural proposer in float32: residual-feedback networks of order 2 at the leaves of a halving
// with Schur complements. Its formulas are those of nets/feedback.py, untrained (the trained weights
// of small orders differ in the third decimal); lanes take the part of the batch there.
#pragma once
#include "tiles.h"

namespace dmx::DMX_ISA {

template <int n> struct Small {
  Vf e[n * n];
};

template <int n> DMX_INLINE Vf inner(const Small<n>& P, const Small<n>& Q) {
  Vf sum{};
  unrolled<n * n>([&](auto i) DMX_LAMBDA { sum += P.e[i] * Q.e[i]; });
  return sum;
}
// P + t Q, in place
template <int n> DMX_INLINE void add(Small<n>& P, Vf t, const Small<n>& Q) {
  unrolled<n * n>([&](auto i) DMX_LAMBDA { P.e[i] += t * Q.e[i]; });
}
template <int n> DMX_INLINE Small<n> scaled(Vf t, const Small<n>& Q) {
  Small<n> P;
  unrolled<n * n>([&](auto i) DMX_LAMBDA { P.e[i] = t * Q.e[i]; });
  return P;
}
template <int n> DMX_INLINE Small<n> operator*(const Small<n>& A, const Small<n>& X) {
  Small<n> C;
  product<n>(A.e, X.e, [&](int i, int j, Vf c) DMX_LAMBDA { C.e[i * n + j] = c; });
  return C;
}
template <int n> DMX_INLINE Small<n> residual_of(const Small<n>& A, const Small<n>& X) {
  Small<n> R = A * X;
  for (int i = 0; i < n; i++)
    unrolled<n>([&](auto j) DMX_LAMBDA {
      R.e[i * n + j] = (i == j ? splat(1.0f) : Vf{}) - R.e[i * n + j];
    });
  return R;
}

// The polynomial of degree 1 in U = R/|R| that leaves least of R: X steps along X itself. Its image
// is W = I - |R| U; what is rounding in W gets no say (the quotient of signal and noise).
template <int n>
DMX_INLINE Small<n> polynomial_step(const Small<n>& X, const Small<n>& U, Vf norm) {
  constexpr float rounding = 1e-7f;
  Small<n> W = scaled(-norm, U);
  unrolled<n>([&](auto i) DMX_LAMBDA { W.e[i * n + i] += 1.0f; });
  const Vf size = inner(W, W) + 1e-30f;
  return scaled(inner(W, U) / (size + n * rounding * rounding), X);
}

// The best step in the space of `directions` products of X and what is left of U: global GMRES.
template <int n, int directions>
DMX_INLINE Small<n> measured_step(const Small<n>& A, const Small<n>& X, Small<n> U) {
  Small<n> Z[directions], W[directions], S{};
  Vf size[directions];
  unrolled<directions>([&](auto q) DMX_LAMBDA {
    Z[q] = X * U;
    W[q] = A * Z[q];
    const Vf floor = 1e-10f * inner(W[q], W[q]);
    unrolled<q>([&](auto p) DMX_LAMBDA {
      const Vf t = inner(W[p], W[q]) / size[p];
      add(Z[q], -t, Z[p]);
      add(W[q], -t, W[p]);
    });
    size[q] = larger(inner(W[q], W[q]) + floor, splat(1e-30f));
    const Vf t = inner(U, W[q]) / size[q];
    add(U, -t, W[q]);
    add(S, t, Z[q]);
  });
  return S;
}

// X + |R| S where that leaves less, X where not: each lane for itself.
template <int n>
DMX_INLINE void guarded(const Small<n>& A, Small<n>& X, Small<n>& R, Vf& norm, const Small<n>& S) {
  Small<n> next = X;
  add(next, norm, S);
  const Small<n> left = residual_of(A, next);
  const Vf size = root(inner(left, left));
  const If better = size < norm;
  unrolled<n * n>([&](auto i) DMX_LAMBDA {
    X.e[i] = better ? next.e[i] : X.e[i];
    R.e[i] = better ? left.e[i] : R.e[i];
  });
  norm = better ? size : norm;
}

// The network, for order 2 (and 1, which is a division): A of any norm.
template <int n> DMX_INLINE Small<n> leaf(const Small<n>& A) {
  if constexpr (n == 1) {
    return {{1.0f / A.e[0]}};
  } else {
    const Vf scale = 1.0f / root(inner(A, A));
    const Small<n> B = scaled(scale, A);
    Small<n> X;
    for (int i = 0; i < n; i++)
      unrolled<n>([&](auto j) DMX_LAMBDA { X.e[i * n + j] = B.e[j * n + i]; });
    Small<n> R = residual_of(B, X);
    Vf norm = root(inner(R, R));
    guarded(B, X, R, norm, polynomial_step(X, scaled(1.0f / norm, R), norm));
    guarded(B, X, R, norm, measured_step<n, n>(B, X, scaled(1.0f / norm, R)));
    return scaled(scale, X);
  }
}

// C (n, m) = A (n, k) X (k, m), rows la, lx and lc apart; then finish(i, j, C_ij)
template <int n, int m, int k, class Finish>
DMX_INLINE void rectangular(const Vf* A, int la, const Vf* X, int lx, Finish&& finish) {
  for (int i = 0; i < n; i++)
    unrolled<m>([&](auto j) DMX_LAMBDA {
      Vf c = A[i * la] * X[j];
      unrolled<k - 1>([&](auto q) DMX_LAMBDA { c += A[i * la + q + 1] * X[(q + 1) * lx + j]; });
      finish(i, j, c);
    });
}

// A Newton step: the recursion multiplies what its halves leave.
template <int n> DMX_INLINE void newton(const Small<n>& A, Small<n>& X) {
  add(X, splat(1.0f), X * residual_of(A, X));
}

// Halves: P = A11^-1, Q = (A22 - A21 P A12)^-1, and the inverse out of both.
template <int n> struct Halving {
  static DMX_APART void invert(const Small<n>& A, Small<n>& X) {
    if constexpr (n <= 2) {
      X = leaf(A);
    } else {
      constexpr int p = n / 2, q = n - p;
      Small<p> first, P;
      for (int i = 0; i < p; i++)
        unrolled<p>([&](auto j) DMX_LAMBDA { first.e[i * p + j] = A.e[i * n + j]; });
      Halving<p>::invert(first, P);
      newton(first, P);
      Vf right[p * q], below[q * p], corner[p * q];  // P A12, A21 P, -P A12 Q
      rectangular<p, q, p>(P.e, p, A.e + p, n,
                           [&](int i, int j, Vf c) DMX_LAMBDA { right[i * q + j] = c; });
      rectangular<q, p, p>(A.e + p * n, n, P.e, p,
                           [&](int i, int j, Vf c) DMX_LAMBDA { below[i * p + j] = c; });
      Small<q> S, Q;
      rectangular<q, q, p>(A.e + p * n, n, right, q, [&](int i, int j, Vf c) DMX_LAMBDA {
        S.e[i * q + j] = A.e[(p + i) * n + p + j] - c;
      });
      Halving<q>::invert(S, Q);
      newton(S, Q);
      for (int i = 0; i < q; i++)
        unrolled<q>([&](auto j) DMX_LAMBDA { X.e[(p + i) * n + p + j] = Q.e[i * q + j]; });
      rectangular<p, q, q>(right, q, Q.e, q, [&](int i, int j, Vf c) DMX_LAMBDA {
        X.e[i * n + p + j] = corner[i * q + j] = -c;
      });
      rectangular<q, p, q>(Q.e, q, below, p,
                           [&](int i, int j, Vf c) DMX_LAMBDA { X.e[(p + i) * n + j] = -c; });
      rectangular<p, p, q>(corner, q, below, p, [&](int i, int j, Vf c) DMX_LAMBDA {
        X.e[i * n + j] = P.e[i * p + j] - c;
      });
    }
  }
};

template <int n> DMX_INLINE void propose(Vf* A) {
  Small<n> M, X;
  for (int e = 0; e < n * n; e++) M.e[e] = A[e];
  Halving<n>::invert(M, X);
  for (int e = 0; e < n * n; e++) A[e] = X.e[e];
}

}  // namespace
