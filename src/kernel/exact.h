// Sums and products with their rounding errors, of numbers and of lanes. Whoever includes this is
// compiled without contraction (CMakeLists.txt): these are exact only as they are written.
#pragma once
#include "vec.h"

namespace dmx::DMX_ISA {

// a b + c; one rounding where the instruction set has that, and two elsewhere.
#if defined(__AVX512F__)
constexpr bool has_fused = true;
DMX_INLINE Vd fused(Vd a, Vd b, Vd c) {
  return (Vd)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
#elif defined(__FMA__)
constexpr bool has_fused = true;
DMX_INLINE Vd fused(Vd a, Vd b, Vd c) {
  return (Vd)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
#elif defined(__aarch64__)
constexpr bool has_fused = true;
DMX_INLINE Vd fused(Vd a, Vd b, Vd c) {
  for (int l = 0; l < LD; l++) c[l] = __builtin_fma(a[l], b[l], c[l]);
  return c;
}
#else
constexpr bool has_fused = false;
DMX_INLINE Vd fused(Vd a, Vd b, Vd c) { return a * b + c; }
#endif
DMX_INLINE double fused(double a, double b, double c) {
  return has_fused ? __builtin_fma(a, b, c) : a * b + c;
}

// p + e = a b
template <class T> DMX_INLINE void two_product(T a, T b, T& p, T& e) {
  p = a * b;
  if constexpr (has_fused) {
    e = fused(a, b, -p);
  } else {  // Dekker's, with halves of 26 bits
    const double s = 0x1p27 + 1;
    const T ta = s * a, tb = s * b;
    const T ah = ta - (ta - a), al = a - ah, bh = tb - (tb - b), bl = b - bh;
    e = al * bl - (((p - ah * bh) - al * bh) - ah * bl);
  }
}

// s + e = a + b
template <class T> DMX_INLINE void two_sum(T a, T b, T& s, T& e) {
  s = a + b;
  const T t = s - a;
  e = (a - (s - t)) + (b - t);
}

}  // namespace
