// A second round: what a first one proved loosely is the candidate of another one, with 47 bits.
//
// Notation and steps of series.h. Two things keep its bounds from the last rounding where an order or
// a condition number is large: the n products that follow the exact ones in R, and those of C. Here
// more of R is exact, and Y is so small that C does not matter. With 2^e the power of two below
// max |X|, no smaller than 2^-lg, adding and taking away 3 2^(e + 29), then 3 2^(e + 5) of what is
// left, makes the candidate
//
//    X0 = Xa + Xb,   |Xa| <= 2^(e + 1), multiples of 2^(e - 22),
//                    |Xb| <= 2^(e - 23), multiples of 2^(e - 46),
//
// and B = B1 + B2 + B3, where 1.5 2^(53 - 2 SA) splits B2, |B2| <= 2^-SA in multiples of
// 2^(1 - 2 SA), from |B3| <= 2^(-2 SA). By (1) there I - B1 Xa, and as well B2 Xa and B1 Xb, which are
// the like of B1 Xa but for a power of two, are exact in any order. From
//
//    c1 = fl(I - B1 Xa - B2 Xa),  c2 = fl(c1 - B1 Xb),  R = fl(c2 - fl(B3 Xa + (B2 + B3) Xb)),
//
// |c2| <= 1.01 (|R| + T), |c1| <= 1.01 (|c2| + |B1||Xb|), T = |B3||Xa| + |B2 + B3||Xb|, in the norm
//
//    ||R - R0|| <= delta = 3.1 u P.|R| + 1.1 u || |B1||Xb| || + 1.01 (2 n + 4) u ||T|| + 2^-900  (1)
//
// and ||R0||, ||R|| <= rho = P.|R| + delta. Y = R + R^2 will do, R^2 in float32: against
// Z = R0 + R0^2 + R0^3/(I - R0), for rho <= 0.11,
//
//    ||Y - Z|| <= eta = 1.27 delta + 3.5 u rho + 1.02 (n + 4) v rho^2 + 1.01 rho^3/(1 - rho)
//                       + 2^-120.                                                              (2)
//
// C = fl(X0 Y), X1 = fl(X0 + C) and its rounding error d, now by a two-sum, and the bounds are those
// of steps 5 to 7.
#include "again.h"

#include <iterator>

#include "series.h"

namespace dmx::DMX_ISA {
namespace {

// -B1, -B2, -B3, and -(B2 + B3) in w.rest
void split(Work& w, const double* A, double scale) {
  const double shift = splits.of[w.n].shift, next = shift * splits.of[w.n].rest;
  for (int i = 0; i < w.n; i++) {
    const int row = i * w.ld;
    for (int j = 0; j < w.n; j++) {
      const double b = A[i * w.n + j] * scale, first = (b + shift) - shift, rest = b - first;
      const double second = (rest + next) - next;
      w.B1[row + j] = -first;
      w.B2[row + j] = -second;
      w.B3[row + j] = second - rest;
      w.rest[row + j] = -rest;
    }
    for (int j = w.n; j < w.ld; j++) w.B1[row + j] = w.B3[row + j] = w.rest[row + j] = 0;
  }
}

// Xa to w.X0, Xb, and their sum to w.X1
void split_candidate(Work& w, const double* X, double scale) {
  const int n = w.n, ld = w.ld;
  const double back = 1 / scale;
  Vd tops{};
  for (int i = 0; i < n; i++) {
    double* X1 = w.X1 + i * ld;
    for (int j = 0; j < ld; j++) X1[j] = j < n ? X[i * n + j] * back : 0;
    for (int j = 0; j < ld; j += LD) tops = larger(absolute(*(const Vd*)(X1 + j)), tops);
  }
  const Vd unit = larger(power_below(splat(highest(tops))), splat((double)splits.of[n].floor));
  const Vd shift = 0x1.8p30 * unit, next = 0x1.8p6 * unit;
  for (int e = 0; e < n * ld; e += LD) {
    Vd x = *(const Vd*)(w.X1 + e);
    keep(x);
    const Vd first = (x + shift) - shift, second = ((x - first) + next) - next;
    *(Vd*)(w.X0 + e) = first;
    *(Vd*)(w.Xb + e) = second;
    *(Vd*)(w.X1 + e) = first + second;
  }
}

void residual(Work& w) {
  const int ld = w.ld;
  panels<Vd>(w.n, ld / LD, [](int i, int j) DMX_LAMBDA { return unit.at(i, j); },
             [&](auto& c, int i, int j) DMX_LAMBDA {
               const auto product = [&](auto& sum, const double* B, const double* X) DMX_LAMBDA {
                 accumulate_rows(sum, B + i * ld, ld, X + j, ld, w.n);
               };
               const auto add = [&](auto&& products) DMX_LAMBDA {
                 std::remove_reference_t<decltype(c)> sum = {};
                 products(sum);
                 for (size_t p = 0; p < std::size(c); p++)
                   for (size_t q = 0; q < std::size(c[0]); q++) c[p][q] += sum[p][q];
               };
               product(c, w.B1, w.X0);
               add([&](auto& sum) DMX_LAMBDA { product(sum, w.B2, w.X0); });
               add([&](auto& sum) DMX_LAMBDA { product(sum, w.B1, w.Xb); });
               add([&](auto& sum) DMX_LAMBDA {
                 product(sum, w.B3, w.X0);
                 product(sum, w.rest, w.Xb);
               });
             },
             [&](int i, int j, Vd c) DMX_LAMBDA {
               *(Vd*)(w.R + i * ld + j) = c;
               narrow_to(w.Y + i * w.lf + j, c);
             });
}

// (1), but for the part of R itself
double residual_error(Work& w) {
  const int n = w.n, ld = w.ld;
  row_sums(n, ld, w.X0, w.sums);
  double T = largest_product_sum(n, ld, w.B3, w.sums);
  row_sums(n, ld, w.Xb, w.sums);
  T += largest_product_sum(n, ld, w.rest, w.sums);
  const double exact = largest_product_sum(n, ld, w.B1, w.sums);
  return 1.1 * U * exact + 1.01 * (2 * n + 4) * U * T + 0x1p-900;
}

// Y = R + R^2 to w.B2
void series(Work& w) {
  const int ld = w.ld, lf = w.lf;
  panels<Vf>(w.n, lf / LF, [](int, int) DMX_LAMBDA { return Vf{}; },
             [&](auto& c, int i, int j) DMX_LAMBDA {
               accumulate_rows(c, w.Y + i * lf, lf, w.Y + j, lf, w.n);
             },
             [&](int i, int j, Vf c) DMX_LAMBDA {
               const double* from = w.R + i * ld + j;
               double* to = w.B2 + i * ld + j;
               *(Vd*)to = *(const Vd*)from + widened(half<0>(c));
               if (j + LD < ld) *(Vd*)(to + LD) = *(const Vd*)(from + LD) + widened(half<1>(c));
             });
}

// X0 + X0 Y, unscaled, to w.B1, and its rounding errors to w.R
void correct(Work& w, double scale) {
  const int ld = w.ld;
  panels<Vd>(w.n, ld / LD, [](int, int) DMX_LAMBDA { return Vd{}; },
             [&](auto& c, int i, int j) DMX_LAMBDA {
               accumulate_rows(c, w.X1 + i * ld, ld, w.B2 + j, ld, w.n);
             },
             [&](int i, int j, Vd c) DMX_LAMBDA {
               keep(c);
               const Vd x0 = *(const Vd*)(w.X1 + i * ld + j), x1 = x0 + c, t = x1 - x0;
               *(Vd*)(w.R + i * ld + j) = (x0 - (x1 - t)) + (c - t);
               *(Vd*)(w.B1 + i * ld + j) = x1 * scale;
             });
}

}  // namespace

void invert_again(Work& w, const double* A, double scale, float B_sum, const Results& to, long k) {
  const int n = w.n, ld = w.ld;
  const double raise = 1 + 2 * n * U;
  double* X = to.X + k * n * n;
  std::memset(w.Y, 0, sizeof(float) * n * w.lf);
  split(w, A, scale);
  split_candidate(w, X, scale);
  residual(w);
  const double r = largest_row_sum(n, ld, w.R) * raise, b = raised(n, Vh{} + B_sum)[0];
  const double x = largest_row_sum(n, ld, w.X1);
  const double delta = 3.1 * U * r + residual_error(w);
  const double rho = (r + delta) * (1 + (4 * n + 64) * U);
  if (!(rho < 0.11)) return;
  const double eta = 1.27 * delta + 3.5 * U * rho + 1.02 * (n + 4) * V * rho * rho +
                     1.01 * rho * rho * rho / (1 - rho) + 0x1p-120;
  series(w);
  correct(w, scale);
  const Bounds found =
      concluded(n, in_a_row(n), splat(b), splat(x * raise), splat(x * (2 - raise)),
                splat(largest_row_sum(n, ld, w.R)), splat(rho), splat(eta), splat(scale), ~Id{});
  if (!(found.relative[0] < to.relative[k])) return;
  for (int i = 0; i < n; i++) std::memcpy(X + i * n, w.B1 + i * ld, sizeof(double) * n);
  to.error[k] = found.error[0];
  to.residual[k] = found.residual[0];
  to.relative[k] = found.relative[0];
  to.state[k] |= found.finished[0] ? finished : 0;
}

}  // namespace dmx::DMX_ISA
