// Matrices of any order with an entry in each lane: of LD matrices, or of one.
#pragma once
#include "kernel.h"
#include "series.h"
#include "vec.h"

namespace dmx::DMX_ISA {

struct OfOne {
  const double* at;
  DMX_INLINE Vd operator[](int e) const { return splat(at[e]); }
};
struct OfMany {
  const Vd* at;
  DMX_INLINE Vd operator[](int e) const { return at[e]; }
};

// f(T, i) for T rows from i on, T a constant; the last ones overlap.
template <class F> DMX_INLINE void rows(int n, F&& f) {
  constexpr int T = 4;
  for (int i = 0; n >= T && i < n; i += T)
    f(std::integral_constant<int, T>{}, i + T <= n ? i : n - T);
  for (int i = 0; n < T && i < n; i++) f(std::integral_constant<int, 1>{}, i);
}

DMX_INLINE Vd chosen(Id where, Vd a, Vd b) { return where ? a : b; }

// The largest modulus; NaN where one is not finite.
DMX_INLINE Vd largest_modulus(int n, const Vd* v) {
  Vd top{}, total{};
  for (int i = 0; i < n; i++) {
    top = larger(absolute(v[i]), top);
    total += v[i];
  }
  return top + (total - total);
}

// At least ||M||inf; NaN where a sum is not finite.
template <class Matrix> DMX_INLINE Vd norm(int n, Matrix M) {
  Vd top{};
  rows(n, [&](auto T, int i0) DMX_LAMBDA {
    Vd sum[T] = {};
    for (int k = 0; k < n; k++)
      unrolled<T>([&](auto i) DMX_LAMBDA { sum[i] += absolute(M[(i0 + i) * n + k]); });
    unrolled<T>([&](auto i) DMX_LAMBDA { top = larger(sum[i], top) + (sum[i] - sum[i]); });
  });
  return top * (1 + 2 * n * U);
}

// Whether rows and columns are of even size, entries of usual magnitude, and all finite.
template <class Matrix> DMX_INLINE Id is_plain(int n, Matrix A) {
  Vd columns[largest_order], largest{}, smallest = splat(-infinite), total{};
  for (int k = 0; k < n; k++) columns[k] = Vd{};
  rows(n, [&](auto T, int i0) DMX_LAMBDA {
    Vd top[T] = {};
    for (int k = 0; k < n; k++)
      unrolled<T>([&](auto i) DMX_LAMBDA {
        const Vd entry = absolute(A[(i0 + i) * n + k]);
        top[i] = larger(entry, top[i]);
        columns[k] = larger(entry, columns[k]);
        total += entry;
      });
    unrolled<T>([&](auto i) DMX_LAMBDA {
      largest = larger(top[i], largest);
      smallest = larger(-top[i], smallest);
    });
  });
  for (int k = 0; k < n; k++) smallest = larger(-columns[k], smallest);
  return usual_magnitude(largest) & (smallest * -(double)even_lines > largest) & (total < infinite);
}

// LD matrices of N numbers, to lanes.
inline void into_lanes(int N, const double* const (&from)[LD], Vd* to) {
  int e = 0;
  for (; e + LD <= N; e += LD) {
    Vd r[LD];
    unrolled<LD>([&](auto l) DMX_LAMBDA { r[l] = *(const Vd_any*)(from[l] + e); });
    transpose(r);
    unrolled<LD>([&](auto l) DMX_LAMBDA { to[e + l] = r[l]; });
  }
  for (; e < N; e++)
    for (int l = 0; l < LD; l++) to[e][l] = from[l][e];
}

}  // namespace
