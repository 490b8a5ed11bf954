// One matrix in rows padded to whole vectors: products in tiles that stay in registers.
#pragma once
#include "kernel.h"
#include "series.h"
#include "vec.h"

namespace dmx::DMX_ISA {

constexpr int most = largest_order;

// Vectors of either precision under one name.
template <class V> struct Scalar;
template <> struct Scalar<Vd> {
  using type = double;
  using any = Vd_any;
  static constexpr int lanes = LD;
};
template <> struct Scalar<Vf> {
  using type = float;
  using any = Vf_any;
  static constexpr int lanes = LF;
};

// c += A X for TI rows from a on and TJ vectors of columns from x on, with inner dimension n.
template <class V, int TI, int TJ, class T>
DMX_INLINE void accumulate_rows(V (&c)[TI][TJ], const T* a, int la, const T* x, int lx, int n) {
  for (int k = 0; k < n; k++) {
    V row[TJ];
    unrolled<TJ>([&](auto j) DMX_LAMBDA { row[j] = *(const V*)(x + k * lx + j * Scalar<V>::lanes); });
    unrolled<TI>([&](auto i) DMX_LAMBDA {
      V f = splat(a[i * la + k]);
      keep(f);
      unrolled<TJ>([&](auto j) DMX_LAMBDA { c[i][j] += f * row[j]; });
    });
  }
}

// The same, each block of the inner dimension summed from zero.
template <class V, int TI, int TJ, class T>
DMX_INLINE void accumulate_blocks(V (&c)[TI][TJ], const T* a, int la, const T* x, int lx, int n) {
  for (int k = 0; k < n; k += block) {
    V sum[TI][TJ] = {};
    accumulate_rows(sum, a + k, la, x + k * lx, lx, n - k < block ? n - k : block);
    for (int i = 0; i < TI; i++)
      for (int j = 0; j < TJ; j++) c[i][j] += sum[i][j];
  }
}

// Tiles of TJ vectors of columns; the last tile of rows overlaps, so results never overwrite what
// the products read.
template <class V, int TJ, class Start, class Add, class Finish>
DMX_INLINE void panel(int n, int j0, Start&& start, Add&& add, Finish&& finish) {
  constexpr int TI = 6, L = Scalar<V>::lanes;
  for (int i0 = 0; i0 < n; i0 += TI) {
    const int i = i0 + TI <= n ? i0 : n - TI;
    V c[TI][TJ];
    unrolled<TI>([&](auto p) DMX_LAMBDA {
      unrolled<TJ>([&](auto q) DMX_LAMBDA { c[p][q] = start(i + p, j0 + q * L); });
    });
    add(c, i, j0);
    unrolled<TI>([&](auto p) DMX_LAMBDA {
      unrolled<TJ>([&](auto q) DMX_LAMBDA { finish(i + p, j0 + q * L, c[p][q]); });
    });
  }
}
template <class V, class Start, class Add, class Finish>
DMX_INLINE void panels(int n, int vectors, Start&& start, Add&& add, Finish&& finish) {
  constexpr bool wide = LD == 8;  // the registers are twice as many
  int j = 0;
  const auto next = [&](auto TJ) DMX_LAMBDA {
    panel<V, TJ>(n, j * Scalar<V>::lanes, start, add, finish);
    j += TJ;
  };
  while (j < vectors) {
    const int left = vectors - j;
    if (left == 1) next(std::integral_constant<int, 1>{});
    else if (!wide || left == 2) next(std::integral_constant<int, 2>{});
    else if constexpr (wide) {
      if (left == 4 || left > 6) next(std::integral_constant<int, 4>{});
      else next(std::integral_constant<int, 3>{});
    }
  }
}

// One matrix on its way; every row is padded with zeros to whole vectors.
struct Work {
  int n, ld, lf;  // the order; doubles and floats in a padded row
  alignas(64) double B1[most * most], B2[most * most], X0[most * most], R[most * most];
  // of the second round
  alignas(64) double B3[most * most], rest[most * most], Xb[most * most], X1[most * most];
  alignas(64) float S[most * most], Y[most * most];
  alignas(64) double sums[most];
};

DMX_INLINE double across(Vd a) {
  double s = 0;
  for (int l = 0; l < LD; l++) s += a[l];
  return s;
}

// What of every row is summed: the largest, NaN where one is not finite.
template <class Row> DMX_INLINE double largest_of_rows(int n, Row&& row) {
  double top = 0, total = 0;
  for (int i = 0; i < n; i++) {
    const double s = row(i);
    top = s > top ? s : top;
    total += s;
  }
  return top + (total - total);
}

DMX_INLINE double row_sum(int ld, const double* row) {
  Vd sum{};
  for (int j = 0; j < ld; j += LD) sum += absolute(*(const Vd*)(row + j));
  return across(sum);
}
DMX_INLINE double row_sum(int ld, const float* row) {
  Vf sum{};
  for (int j = 0; j < ld; j += LF) sum += absolute(*(const Vf*)(row + j));
  return across(widened(half<0>(sum)) + widened(half<1>(sum)));
}
template <class T> DMX_INLINE double largest_row_sum(int n, int ld, const T* M) {
  return largest_of_rows(n, [&](int i) DMX_LAMBDA { return row_sum(ld, M + i * ld); });
}

// The largest row sum of |M||X|, where `sums` holds the row sums of |X| and zeros to ld.
DMX_INLINE double largest_product_sum(int n, int ld, const double* M, const double* sums) {
  return largest_of_rows(n, [&](int i) DMX_LAMBDA {
    Vd sum{};
    for (int j = 0; j < ld; j += LD)
      sum += absolute(*(const Vd*)(M + i * ld + j)) * *(const Vd*)(sums + j);
    return across(sum);
  });
}
// The largest row sum of |X|; all of them to `sums`.
DMX_INLINE double row_sums(int n, int ld, const double* X, double* sums) {
  for (int j = n; j < ld; j++) sums[j] = 0;
  return largest_of_rows(n, [&](int i) DMX_LAMBDA { return sums[i] = row_sum(ld, X + i * ld); });
}

template <class V> DMX_INLINE auto highest(V a) {
  auto top = a[0];
  for (int l = 1; l < Scalar<V>::lanes; l++) top = a[l] > top ? a[l] : top;
  return top;
}

inline const struct Unit {
  double of[2 * most + 2 * LF] = {};
  Unit() { of[most + LF] = 1; }
  Vd at(int i, int j) const { return *(const Vd_any*)(of + most + LF - i + j); }
} unit;

DMX_INLINE void narrow_to(float* to, Vd v) {
  const Vh narrow = narrowed(v);
  std::memcpy(to, &narrow, sizeof(Vh));
}

}  // namespace
