// From a candidate to a proven inverse: the split, the series, and the one bound.
//
// Write u = 2^-53, v = 2^-24, |.| entrywise, ||.|| the infinity norm, "P." a row sum of a computed
// matrix. Rounding is to nearest with gradual underflow (module.cpp sees to it); contraction of a
// product and a sum to one operation may happen anywhere, and only ever lowers what is allowed for.
//
// 1. B = s A, s a power of two, max |B| in [1, 2). Scaling is exact but for underflow, below.
//
// 2. The split. B = B1 + B2, B1 a multiple of 2^(1 - SA) and |B2| <= 2^-SA, by adding and taking
//    away 1.5 2^(53 - SA). The candidate X0 is rounded likewise: with 2^e the power of two below
//    max |X0|, no smaller than 2^-lg, lg = ceil(log2 n), adding and taking away 3 2^e leaves
//    |X0| <= 2^(e + 1), multiples of 2^(e - 23) (sums fall into [2^e, 5 2^e], whose floats are that
//    fine, or coarser). Then every partial sum of I - B1 X0 is a multiple of q = 2^(e - 22 - SA) and
//    at most 1 + n 2^(e + 2). As e >= -lg, that is at most q 2^53 if
//
//        2^SA (n + 2^(lg - 2)) <= 2^29:                                                         (1)
//
//    the sum is exact, in any order. (A product of 29 - lg and 24 bits is exact by itself.)
//
// 3. The residual R = fl(I - B1 X0 - B2 X0) goes on from there: n products on a start S that is
//    exact, so |R - R0| <= g (|S| + |B2||X0|) for R0 = I - B X0, g = (n+1) u/(1 - (n+1) u), hence,
//    as |S| <= |R| + |R - R0| + |B2||X0|, with G = 1.01 (n + 2) u,
//
//        ||R - R0|| <= delta = G P.|R| + 2.01 G T + 2^-900,   T = ||  |B2||X0| ||,
//        ||R0||, ||R|| <= rho = P.|R| + delta                                                   (2)
//
//    where n 2^-SA P.|X0| serves for T in small orders, and |B2| times the row sums of |X0| in large
//    ones, where it is five times smaller.
//    There the products also come in m = ceil(n/16) blocks, each summed from zero and then added to
//    S: the additions round m times what is at most |R| + 1.01 |B2||X0|, the blocks are off by
//    g_16 |B2||X0|, so 1.01 m u stands for G before P.|R|, and 1.01 (m + 17) u for 2.01 G.
//    2^-900 stands for underflow: of scaling (2^-1075 an entry, times |X0| < 2^128) and of B2 X0.
//
// 4. The series. A^-1 = s X0 (I + Z), Z = R0 (I - R0)^-1 = R0 + R0^2 + R0^2 (R0 + R0^2) + R0^5/(I - R0).
//    Y is its sum with R for R0 and without the last term; R^2 in float64, the product after it in
//    float32. With rho <= 0.11, in the norm: R for R0 costs (1 + 2 rho + 3 rho^2 + ...) delta; the
//    rounding of R^2, where it stands and within products, 1.27 G rho^2; the sums 3.5 u rho;
//    the float32 product, its two factors rounded to float32, (n + 2 + ...) v ||R^2|| ||R + R^2||; so
//
//        ||Y - Z|| <= eta = 1.27 (delta + G rho^2) + 3.5 u rho + 1.02 (n + 4) v rho^3 (1 + rho)
//                           + 1.01 rho^5/(1 - rho) + 2^-120,                                    (3)
//        ||Y|| <= zeta = 1.01 rho/(1 - rho) + eta
//
//    (2^-120: an underflow of float32, n (n + 2) times 2^-149, and those of float64). A deep series
//    goes on by R^4 (R + R^2), with R^2 (R + R^2) in float64 and the product after it in float32:
//    the third and fourth term of (3) gain a factor rho^2, and what R^2 (R + R^2) rounds is within
//    1.27 G rho^2.
//
// 5. The correction. C = fl(X0 Y) is off by G ||X0|| zeta, or, in blocks, with 1.01 (m + 17) u for
//    G; X1 = fl(X0 + C); d = X0 + C - X1 by fl(C - fl(X1 - X0)). This is exact where X0 is a
//    multiple of the last place of C [Rump, Ogita,
//    Oishi 2008, lemma 2.6], which it is: |C| <= ||X0|| zeta < n 2^e, whose last place is finer than
//    2^(e - 23). So
//
//        ||(s A)^-1 - X1|| <= beta = P.|d| + P.|X0| (G zeta + eta)                              (4)
//        ||A^-1 - s X1|| <= s beta + (n + 1) 2^-1074                                            (5)
//
//    whose last term is what scaling X1 to the result rounds, and the product s beta.
//
// 6. Evaluation. Row sums of floats are raised by 1 + 1.0625 (n + 2) v and 2^-120 (rounding to float
//    and summing), those of doubles by 1 + 2 n u; the formulas, some thirty operations on
//    non-negative numbers, by 1 + (4 n + 64) u. The tests compute with NaN: a NaN fails.
//
// 7. With E the bound (5): ||I - X A||, ||I - A X|| <= E ||A||; and ||X|| >= s (||X0|| - ||C||
//    - ||d||) - n 2^-1074 makes the relative bound.
//
// tests/test_kernel.py checks (5) and 7 in exact arithmetic.
#pragma once
#include "kernel.h"
#include "vec.h"

namespace dmx::DMX_ISA {

constexpr double U = 0x1p-53, V = 0x1p-24;
constexpr double tight = 0x1p-50;  // a relative bound that counts as finished,
constexpr double spare = 0x1p-56;  // where at most so much of it is no last rounding
constexpr double infinite = __builtin_inf();

constexpr int log2_ceil(int n) {
  int r = 0;
  while ((1 << r) < n) r++;
  return r;
}
constexpr double power2(int e) {
  double r = 1;
  for (; e > 0; e--) r *= 2;
  for (; e < 0; e++) r *= 0.5;
  return r;
}
// What (1) makes of an order: 2^-SA, what added and taken away rounds B to B1, and 2^-lg.
struct Split {
  double rest = 0, shift = 0;
  float floor = 0;
};
constexpr Split split_of_order(int n) {
  int sa = 0;
  while (power2(sa + 1) * (n + 0.25 * (1 << log2_ceil(n))) <= 0x1p29) sa++;
  Split s;
  s.rest = power2(-sa), s.shift = 1.5 * power2(53 - sa), s.floor = (float)power2(-log2_ceil(n));
  return s;
}
struct Splits {  // computed by the compiler, whatever it inlines
  Split of[largest_order + 1] = {};
  constexpr Splits() {
    for (int n = 1; n <= largest_order; n++) of[n] = split_of_order(n);
  }
};
constexpr Splits splits;

// What added and taken away rounds a candidate, given its largest modulus in each lane.
DMX_INLINE Vf candidate_shift(int n, Vf top) {
  return 3.0f * larger(power_below(top), splat(splits.of[n].floor));
}

// Step 6 for row sums of floats: above and below.
DMX_INLINE Vd raised(int n, Vh sum) { return widened(sum) * (1 + 1.0625 * (n + 2) * V) + 0x1p-120; }
DMX_INLINE Vd lowered(int n, Vh sum) { return widened(sum) * (1 - 1.0625 * (n + 2) * V); }

// Whether a matrix is told apart from those that differ from it by n roundings of each entry: the
// bound on the residual is at least u/2 ||X|| ||A|| for inverses that are right to the last bit.
DMX_INLINE bool distinct(int n, double residual) { return 4 * n * residual < 1; }
DMX_INLINE Id distinct(int n, Vd residual) { return 4.0 * n * residual < 1.0; }

// Products of order n: one after the other, or in blocks (steps 3 and 5).
constexpr int block = 16;
struct Roundings {
  double of_R, of_T, of_C;  // what stands before P.|R|, T and ||X0|| zeta
};
DMX_INLINE Roundings in_a_row(int n) {
  const double G = 1.01 * (n + 2) * U;
  return {G, 2.01 * G, G};
}
DMX_INLINE Roundings in_blocks(int n) {
  const int m = (n + block - 1) / block;
  return {1.01 * m * U, 1.01 * (m + 17) * U, 1.01 * (m + 17) * U};
}

struct Bounds {
  Vd error, residual, relative;
  Id finished;
};

// What makes a matrix `plain`, but for its distance from the singular ones, and perhaps `sparse`.
//
// Rows and columns are even where their largest entries differ by no more than 2^6, which is what
// linalg/scaling.py equilibrates beyond (SPREAD); a magnitude is usual where neither the matrix nor
// the inverse comes near the ends of the range. Zeros are looked for among entries below 2^-100.
constexpr float even_lines = 0x1p6f * (1 - 0x1p-20f);  // entries are rounded to float32
DMX_INLINE Id usual_magnitude(Vd top) { return (top > 0x1p-400) & (top < 0x1p400); }


// Where the third and fourth term of (3) would be felt a deep series pays, unless they are felt still.
constexpr double deep_from = 0x1p-12, deep_to = 0x1.8p-8;
DMX_INLINE bool goes_deep(double R_sum) { return R_sum > deep_from && R_sum < deep_to; }

// The bounds (4) to (7), from raised row sums of |B| and |X0|, another of |X0| that is lowered, that
// of |d|, and the bounds rho and eta.
DMX_INLINE Bounds concluded(int n, Roundings roundings, Vd b_sum, Vd x, Vd x_least, Vd d_sum, Vd rho,
                            Vd eta, Vd scale, Id in_range) {
  const double raise = 1 + (4 * n + 64) * U;
  const Vd zeta = 1.01 * rho / (1.0 - rho) + eta;
  const Vd rest = roundings.of_C * zeta + eta;
  const Vd beta = (d_sum * (1 + 2 * n * U) + x * rest) * raise;
  const Vd error = (beta * scale + (n + 1) * 0x1p-1074) * raise;
  const Vd size = (x_least - 1.01 * x * zeta) * (1 - 64 * U) * scale - n * 0x1p-1074;
  const Id proven = in_range & (rho < 0.11) & (error < 0x1p1000) &
                    (x * (1.0 + 2.0 * zeta) * scale < 0x1p1000);
  const Vd none = splat(infinite);
  Bounds b;
  b.error = proven ? error : none;
  b.residual = proven ? b.error * (b_sum / scale) * raise + 0x1p-1022 : none;
  b.relative = (proven & (size > 0.0)) ? b.error / size * raise : none;
  b.finished = (b.relative <= tight) & (rest <= spare);
  return b;
}

// T of (2) by the largest row sum of |X0|.
DMX_INLINE Vd rest_product(int n, Vh X0_sum) { return n * splits.of[n].rest * raised(n, X0_sum); }

// The bounds (2) to (7) from the largest row sums of |B|, |R|, |X0| (float), |B2||X0| and |d|, in LD
// lanes.
DMX_INLINE Bounds bounds(int n, Roundings roundings, Vh B_sum, Vh R_sum, Vh X0_sum, Vd T,
                         Vd d_sum, Vd scale, Id in_range, Id deep) {
  const double G = 1.01 * (n + 2) * U, raise = 1 + (4 * n + 64) * U;
  const Vd r = raised(n, R_sum), x = raised(n, X0_sum);
  const Vd delta = roundings.of_R * r + roundings.of_T * T + 0x1p-900;
  const Vd rho = (r + delta) * raise, rho2 = rho * rho;
  const Vd last = (1.02 * (n + 4) * V) * (rho2 * rho) * (1.0 + rho) +
                  1.01 * (rho2 * rho2) * rho / (1.0 - rho);
  const Vd eta = 1.27 * (delta + G * rho2) + 3.5 * U * rho + (deep ? last * rho2 : last) + 0x1p-120;
  return concluded(n, roundings, raised(n, B_sum), x, lowered(n, X0_sum), d_sum, rho, eta, scale,
                   in_range);
}

}  // namespace
