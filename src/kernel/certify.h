// Proofs for inverses that somebody has.
//
// Notation and steps of series.h; the X that is given, divided by s, takes the part of X0, with all
// its bits. A power of two brings max |X| to [2^e, 2^(e + 1)); adding and taking away 3 2^(e + 29)
// leaves X0, |X0| <= 2^(e + 1), multiples of 2^(e - 22), and X = X0 + X', |X'| <= 2^(e - 23). By (1)
// there I - B1 X0 is exact in any order. Then come the 2n products of B1 X' and B2 X, so step 3 holds
// with T >= || |B1||X'| + |B2||X| || and other roundings, `with_all_bits`.
//
// With R0 = I - B X, C = fl(X R) and c = P.|C|,
//
//     B^-1 - X = X R0 + X R0^2 (I - R0)^-1,
//     ||X R0|| <= c + rest,    rest = ||X|| (delta + G' rho),
//     ||B^-1 - X|| <= beta = (c + rest)/(1 - rho)                                               (1)
//
// with the G' of step 5; ||A^-1 - s X|| <= s beta + 2 (n + 1) 2^-1074, for X = fl(X_given / s) may
// round among the subnormals. As I - X B = (B^-1 - X) B, with f = P.|fl(C B)|
//
//     ||I - X B|| <= f + ||B|| (G' c + rest + beta rho)                                         (2)
//
// which does not depend on s. A pair is settled where the error is known and not merely bounded:
// rho <= 1/64, and rest <= c/20 or next to nothing; and where 2 n u ||X|| ||B|| < 1, as certificate.py
// asks for.
#pragma once
#include "series.h"

namespace dmx::DMX_ISA {

// `count` pairs of order n.
void certify_pairs(int n, const double* A, const double* X, Results to, long count);

// The same for orders beyond batch_order, one pair at a time.
void certify_rows(int n, const double* A, const double* X, const Results& to, long count);

// What adding and taking away rounds an X to X0, given its largest modulus.
DMX_INLINE Vd leading_shift(int n, Vd top) {
  return 0x1.8p30 * larger(power_below(top), splat((double)splits.of[n].floor));
}

// Norms of a pair: those of B and X, raised; of R, C and C B, as computed; and T, raised.
struct PairNorms {
  Vd b, x, r, c, f, T;
};

// (1) and (2), and whether the pair is settled.
DMX_INLINE Bounds judged(int n, Roundings roundings, const PairNorms& v, Vd scale, Id in_range) {
  const double raise = 1 + (4 * n + 64) * U;
  const Vd delta = roundings.of_R * v.r + roundings.of_T * v.T + 0x1p-900;
  const Vd rho = (v.r + delta) * raise;
  const Vd rest = v.x * (delta + roundings.of_C * rho) * raise;
  const Vd beta = (v.c + rest) / (1.0 - rho) * raise;
  const Vd error = (beta * scale + 2 * (n + 1) * 0x1p-1074) * raise;
  const Id proven = in_range & (rho <= 0x1p-6) & (error < 0x1p1000);
  const Vd least = v.x * (1 - (4 * n + 64) * U) * scale - n * 0x1p-1074, none = splat(infinite);
  Bounds b;
  b.error = proven ? error : none;
  b.residual = proven ? (v.f + v.b * (roundings.of_C * v.c + rest + beta * rho)) * raise + 0x1p-900
                      : none;
  b.relative = (proven & (least > 0.0)) ? b.error / least * raise : none;
  b.finished = (b.relative < none) & ((rest <= 0.05 * v.c) | (beta <= 0x1p-58 * v.x)) &
               (2 * n * U * raise * v.x * v.b < 1.0);
  return b;
}

}  // namespace
