// Lanes: vectors of the width that the instruction set at hand has, and what they can do.
//
// A Vd holds one double of each of LD matrices, a Vf one float of each of LF = 2 LD. This file is
// compiled once for each instruction set (DMX_ISA names the namespace, DMX_LANES is LD).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__)
#error "-ffast-math and its kin make the proofs of this kernel wrong"
#endif
#if __FLT_EVAL_METHOD__ != 0
#error "float64 operations must round to float64"
#endif

#define DMX_INLINE __attribute__((always_inline)) inline
#define DMX_LAMBDA __attribute__((always_inline))
#define DMX_APART __attribute__((noinline))

namespace dmx::DMX_ISA {

constexpr int LD = DMX_LANES, LF = 2 * LD;
typedef float Vf __attribute__((vector_size(4 * LF)));
typedef float Vh __attribute__((vector_size(4 * LD)));  // the floats of one half of the lanes
typedef double Vd __attribute__((vector_size(8 * LD)));
typedef int32_t If __attribute__((vector_size(4 * LF)));
typedef int32_t Ih __attribute__((vector_size(4 * LD)));
typedef int64_t Id __attribute__((vector_size(8 * LD)));
typedef int8_t Bd __attribute__((vector_size(LD)));
typedef double Vd_any __attribute__((vector_size(8 * LD), aligned(8), may_alias));
typedef float Vf_any __attribute__((vector_size(4 * LF), aligned(4), may_alias));

// x in every lane. (V{} + x would be an addition, on account of -0.)
template <class V, class T, int... I>
DMX_INLINE V splat(T x, std::integer_sequence<int, I...>) {
  return V{((void)I, x)...};
}
DMX_INLINE Vf splat(float x) { return splat<Vf>(x, std::make_integer_sequence<int, LF>{}); }
DMX_INLINE Vd splat(double x) { return splat<Vd>(x, std::make_integer_sequence<int, LD>{}); }

// Unrolled by the front end: gcc keeps arrays that are indexed so in registers.
template <class F, int... I> DMX_INLINE void unrolled(F&& f, std::integer_sequence<int, I...>) {
  (f(std::integral_constant<int, I>{}), ...);
}
template <int N, class F> DMX_INLINE void unrolled(F&& f) {
  unrolled(f, std::make_integer_sequence<int, N>{});
}

DMX_INLINE Vf absolute(Vf a) { return (Vf)((If)a & 0x7fffffff); }
DMX_INLINE Vd absolute(Vd a) { return (Vd)((Id)a & 0x7fffffffffffffffLL); }

// The larger; b where either is NaN. Who must notice a NaN tests a sum instead.
#if defined(__AVX512F__)
DMX_INLINE Vd larger(Vd a, Vd b) { return (Vd)_mm512_max_pd((__m512d)a, (__m512d)b); }
DMX_INLINE Vf larger(Vf a, Vf b) { return (Vf)_mm512_max_ps((__m512)a, (__m512)b); }
DMX_INLINE Vf root(Vf a) { return (Vf)_mm512_sqrt_ps((__m512)a); }
#elif defined(__AVX__)
DMX_INLINE Vd larger(Vd a, Vd b) { return (Vd)_mm256_max_pd((__m256d)a, (__m256d)b); }
DMX_INLINE Vf larger(Vf a, Vf b) { return (Vf)_mm256_max_ps((__m256)a, (__m256)b); }
DMX_INLINE Vf root(Vf a) { return (Vf)_mm256_sqrt_ps((__m256)a); }
#elif defined(__x86_64__)
DMX_INLINE Vd larger(Vd a, Vd b) { return (Vd)_mm_max_pd((__m128d)a, (__m128d)b); }
DMX_INLINE Vf larger(Vf a, Vf b) { return (Vf)_mm_max_ps((__m128)a, (__m128)b); }
DMX_INLINE Vf root(Vf a) { return (Vf)_mm_sqrt_ps((__m128)a); }
#else
DMX_INLINE Vd larger(Vd a, Vd b) { return a > b ? a : b; }
DMX_INLINE Vf larger(Vf a, Vf b) { return a > b ? a : b; }
DMX_INLINE Vf root(Vf a) {
  for (int l = 0; l < LF; l++) a[l] = std::sqrt(a[l]);
  return a;
}
#endif

// The compiler may neither recompute x nor contract what comes before with what comes after.
#if defined(__x86_64__)
template <class V> DMX_INLINE void keep(V& x) { asm("" : "+v"(x)); }
#elif defined(__aarch64__)
template <class V> DMX_INLINE void keep(V& x) { asm("" : "+w"(x)); }
#else
template <class V> DMX_INLINE void keep(V& x) { asm("" : "+m"(x)); }
#endif

DMX_INLINE Vd widened(Vh a) { return __builtin_convertvector(a, Vd); }
DMX_INLINE Vh narrowed(Vd a) { return __builtin_convertvector(a, Vh); }
template <int... I> DMX_INLINE Vf joined(Vh a, Vh b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, I...);
}
template <int h, int... I> DMX_INLINE Vh half(Vf a, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, a, (h * LD + I)...);
}
DMX_INLINE Vf joined(Vh a, Vh b) { return joined(a, b, std::make_integer_sequence<int, LF>{}); }
DMX_INLINE Vf narrowed(Vd a, Vd b) { return joined(narrowed(a), narrowed(b)); }
template <int h> DMX_INLINE Vh half(Vf a) {
  return half<h>(a, std::make_integer_sequence<int, LD>{});
}
template <int h> DMX_INLINE Id half(If a) {  // of a mask
  return __builtin_convertvector((Ih)half<h>((Vf)a), Id);
}

DMX_INLINE bool none(Id mask) {
  int64_t any = 0;
  for (int l = 0; l < LD; l++) any |= mask[l];
  return !any;
}

// 2^k of the largest power of two that is not above |a|, for normal numbers.
DMX_INLINE Vd power_below(Vd a) { return (Vd)((Id)a & 0x7ff0000000000000LL); }
DMX_INLINE Vf power_below(Vf a) { return (Vf)((If)a & 0x7f800000); }

template <int N, class V> DMX_INLINE V largest(const V* a) {
  V m[4] = {};
  for (int e = 0; e < N; e++) m[e % 4] = larger(absolute(a[e]), m[e % 4]);
  return larger(larger(m[0], m[1]), larger(m[2], m[3]));
}

// ---- from matrix after matrix to lanes, and back

template <int step, int... I>
DMX_INLINE void butterfly(Vd& a, Vd& b, std::integer_sequence<int, I...>) {
  Vd lower = __builtin_shufflevector(a, b, (I & step ? LD + I - step : I)...);
  Vd upper = __builtin_shufflevector(a, b, (I & step ? LD + I : I + step)...);
  a = lower, b = upper;
}

template <int step = 1> DMX_INLINE void transpose(Vd (&r)[LD]) {
  if constexpr (step < LD) {
    unrolled<LD>([&](auto i) DMX_LAMBDA {
      if constexpr (!(i & step))
        butterfly<step>(r[i], r[i + step], std::make_integer_sequence<int, LD>{});
    });
    transpose<2 * step>(r);
  }
}

// The even and the odd places of a and b together, and back.
template <int odd, int... I>
DMX_INLINE Vd unzipped(Vd a, Vd b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (2 * I + odd)...);
}
template <int high, int... I>
DMX_INLINE Vd zipped(Vd a, Vd b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (I % 2 * LD + high * (LD / 2) + I / 2)...);
}

// LD matrices of N numbers each at p, one after the other, to one Vd an entry.
template <int N> DMX_INLINE void load(const double* p, Vd* to) {
  const auto at = [&](int e) DMX_LAMBDA { return *(const Vd_any*)(p + e); };
  if constexpr (N == 1) {
    to[0] = at(0);
  } else if constexpr (N < LD) {
    static_assert(N == 4 && LD == 8);
    constexpr std::make_integer_sequence<int, LD> all{};
    const Vd a = at(0), b = at(LD), c = at(2 * LD), d = at(3 * LD);
    const Vd even[2] = {unzipped<0>(a, b, all), unzipped<0>(c, d, all)};
    const Vd odd[2] = {unzipped<1>(a, b, all), unzipped<1>(c, d, all)};
    to[0] = unzipped<0>(even[0], even[1], all), to[2] = unzipped<1>(even[0], even[1], all);
    to[1] = unzipped<0>(odd[0], odd[1], all), to[3] = unzipped<1>(odd[0], odd[1], all);
  } else {
    for (int e = 0; e < N; e += LD) {
      const int s = e + LD <= N ? e : N - LD;
      Vd r[LD];
      unrolled<LD>([&](auto b) DMX_LAMBDA { r[b] = at(b * N + s); });
      transpose(r);
      unrolled<LD>([&](auto b) DMX_LAMBDA { to[s + b] = r[b]; });
    }
  }
}
template <int N> DMX_INLINE void store(double* p, const Vd* from) {
  const auto put = [&](int e, Vd v) DMX_LAMBDA { *(Vd_any*)(p + e) = v; };
  if constexpr (N == 1) {
    put(0, from[0]);
  } else if constexpr (N < LD) {
    constexpr std::make_integer_sequence<int, LD> all{};
    const Vd even[2] = {zipped<0>(from[0], from[2], all), zipped<1>(from[0], from[2], all)};
    const Vd odd[2] = {zipped<0>(from[1], from[3], all), zipped<1>(from[1], from[3], all)};
    unrolled<2>([&](auto h) DMX_LAMBDA {
      put(2 * h * LD, zipped<0>(even[h], odd[h], all));
      put((2 * h + 1) * LD, zipped<1>(even[h], odd[h], all));
    });
  } else {
    for (int e = 0; e < N; e += LD) {
      const int s = e + LD <= N ? e : N - LD;
      Vd r[LD];
      unrolled<LD>([&](auto b) DMX_LAMBDA { r[b] = from[s + b]; });
      transpose(r);
      unrolled<LD>([&](auto b) DMX_LAMBDA { put(b * N + s, r[b]); });
    }
  }
}

}  // namespace
