// Pairs of orders 17 to 64: one at a time, rows in registers.
#include <memory>

#include "certify.h"
#include "lanes.h"
#include "padded.h"

namespace dmx::DMX_ISA {
namespace {

// -B1, -B2 and -B in padded rows, B = scale A.
void split(Work& w, const double* A, double scale) {
  const double shift = splits.of[w.n].shift;
  for (int i = 0; i < w.n; i++) {
    double *B1 = w.B1 + i * w.ld, *B2 = w.B2 + i * w.ld, *B = w.B3 + i * w.ld;
    for (int j = 0; j < w.n; j++) {
      const double b = A[i * w.n + j] * scale, first = (b + shift) - shift;
      B1[j] = -first;
      B2[j] = first - b;
      B[j] = -b;
    }
    for (int j = w.n; j < w.ld; j++) B1[j] = B2[j] = B[j] = 0;
  }
}

// X / scale to w.X1, X0 and what is left of it to w.Xb; the largest modulus.
double split_inverse(Work& w, const double* X, double scale) {
  const double back = 1 / scale;
  Vd tops{};
  for (int i = 0; i < w.n; i++) {
    double* all = w.X1 + i * w.ld;
    for (int j = 0; j < w.ld; j++) all[j] = j < w.n ? X[i * w.n + j] * back : 0;
    for (int j = 0; j < w.ld; j += LD) tops = larger(absolute(*(const Vd*)(all + j)), tops);
  }
  const double top = highest(tops);
  const Vd shift = leading_shift(w.n, splat(top));
  for (int e = 0; e < w.n * w.ld; e += LD) {
    Vd x = *(const Vd*)(w.X1 + e);
    keep(x);
    const Vd leading = (x + shift) - shift;
    *(Vd*)(w.X0 + e) = leading;
    *(Vd*)(w.Xb + e) = x - leading;
  }
  return top;
}

// I - B X to w.R, with the products after the exact ones in blocks.
void residual(Work& w) {
  const int n = w.n, ld = w.ld;
  panels<Vd>(n, ld / LD, [](int i, int j) DMX_LAMBDA { return unit.at(i, j); },
             [&](auto& c, int i, int j) DMX_LAMBDA {
               accumulate_rows(c, w.B1 + i * ld, ld, w.X0 + j, ld, n);
               accumulate_blocks(c, w.B1 + i * ld, ld, w.Xb + j, ld, n);
               accumulate_blocks(c, w.B2 + i * ld, ld, w.X1 + j, ld, n);
             },
             [&](int i, int j, Vd c) DMX_LAMBDA { *(Vd*)(w.R + i * ld + j) = c; });
}

// to = A M, in blocks
void multiply(const Work& w, const double* A, const double* M, double* to) {
  const int n = w.n, ld = w.ld;
  panels<Vd>(n, ld / LD, [](int, int) DMX_LAMBDA { return Vd{}; },
             [&](auto& c, int i, int j) DMX_LAMBDA {
               accumulate_blocks(c, A + i * ld, ld, M + j, ld, n);
             },
             [&](int i, int j, Vd c) DMX_LAMBDA { *(Vd*)(to + i * ld + j) = c; });
}

// At least || |B1||X'| + |B2||X| ||
double rest_product(Work& w) {
  const int n = w.n, ld = w.ld;
  row_sums(n, ld, w.Xb, w.sums);
  const double first = largest_product_sum(n, ld, w.B1, w.sums);
  row_sums(n, ld, w.X1, w.sums);
  return (first + largest_product_sum(n, ld, w.B2, w.sums)) * (1 + (4 * n + 64) * U);
}

// Of 2n products in blocks of 16.
DMX_INLINE Roundings with_all_bits_in_blocks(int n) {
  const int m = (n + block - 1) / block;
  return {2.02 * m * U, 1.01 * (2 * m + 17) * U, 1.01 * (m + 17) * U};
}

Bounds certified(Work& w, const double* A, const double* X) {
  const int n = w.n, ld = w.ld;
  const double raise = 1 + 2 * n * U;
  const Id fits = is_plain(n, OfOne{A});
  double top = 0;
  for (int e = 0; e < n * n; e++) top = std::fabs(A[e]) > top ? std::fabs(A[e]) : top;
  const double scale = fits[0] ? std::ldexp(1.0, -std::ilogb(top)) : 1;
  split(w, A, scale);
  const double top_X = split_inverse(w, X, scale);
  residual(w);
  PairNorms v;
  v.b = splat(largest_row_sum(n, ld, w.B3) * raise);
  v.x = splat(largest_row_sum(n, ld, w.X1) * raise);
  v.r = splat(largest_row_sum(n, ld, w.R) * raise);
  v.T = splat(rest_product(w));
  multiply(w, w.X1, w.R, w.X0);
  v.c = splat(largest_row_sum(n, ld, w.X0) * raise);
  multiply(w, w.X0, w.B3, w.Xb);
  v.f = splat(largest_row_sum(n, ld, w.Xb) * raise);
  return judged(n, with_all_bits_in_blocks(n), v, splat(scale),
                fits & (splat(top_X) < 0x1p450));
}

}  // namespace

void certify_rows(int n, const double* A, const double* X, const Results& to, long count) {
  thread_local const std::unique_ptr<Work> work(new Work);
  Work& w = *work;
  w.n = n, w.ld = (n + LD - 1) / LD * LD, w.lf = (n + LF - 1) / LF * LF;
  for (long k = 0; k < count; k++) {
    const Bounds found = certified(w, A + k * n * n, X + k * n * n);
    to.error[k] = found.error[0];
    to.residual[k] = found.residual[0];
    to.relative[k] = found.relative[0];
    to.state[k] = found.finished[0] ? finished | plain : 0;
  }
}

}  // namespace dmx::DMX_ISA
