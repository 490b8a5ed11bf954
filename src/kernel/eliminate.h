// Gauss-Jordan elimination of one matrix in padded rows, in either precision.
#pragma once
#include "padded.h"

namespace dmx::DMX_ISA {

DMX_INLINE uint64_t modulus_bits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits & 0x7fffffff;
}
DMX_INLINE uint64_t modulus_bits(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits & 0x7fffffffffffffff;
}

// The first row from k on whose entry in column k is largest: the bits of a modulus order as it does.
template <class T> inline int pivot_row(int n, int ld, const T* M, int k) {
  uint64_t best = modulus_bits(M[k * ld + k]);
  int row = k;
  for (int i = k + 1; i < n; i++) {
    const uint64_t bits = modulus_bits(M[i * ld + k]);
    row = bits > best ? i : row;
    best = bits > best ? bits : best;
  }
  return row;
}

template <class V> struct Places;
template <> struct Places<Vf> { using type = If; };
template <> struct Places<Vd> { using type = Id; };

// A step of Gauss-Jordan elimination: row p becomes row k, divided by its entry in column k, whose
// place takes the inverse's column. A row has so many vectors, a constant where they are few;
// places are 0, 1, ... up to the number of lanes.
template <class V, class Count, class T, class P>
DMX_INLINE void eliminate_column(int n, Count vectors, T* M, int k, int p, P places) {
  constexpr int lanes = Scalar<V>::lanes, most = largest_order / lanes;
  const int ld = vectors * lanes;
  P here[most];
  V row[most];
  const V inverse = splat((T)1 / M[p * ld + k]);
  V *own = (V*)(M + k * ld), *other = (V*)(M + p * ld);
  for (int v = 0; v < vectors; v++) {
    here[v] = places == k - v * lanes;
    row[v] = here[v] ? inverse : other[v] * inverse;
    other[v] = own[v];
    own[v] = row[v];
  }
  for (int i = 0; i < n; i++) {
    if (i == k) continue;
    V* r = (V*)(M + i * ld);
    const V f = splat(M[i * ld + k]);
    for (int v = 0; v < vectors; v++) r[v] = (here[v] ? V{} : r[v]) - f * row[v];
  }
}

// The inverse of the row-major M with rows ld apart, in place but for its columns: column j of the
// inverse is column source[j] of what is left. Partial pivoting.
template <class V, class T> inline void eliminate_rows(int n, int ld, T* M, int* source) {
  int pivot[largest_order];
  typename Places<V>::type places;
  for (int l = 0; l < Scalar<V>::lanes; l++) places[l] = l;
  for (int k = 0; k < n; k++) {
    const int p = pivot[k] = pivot_row(n, ld, M, k);
    switch (ld / Scalar<V>::lanes) {
      case 2: eliminate_column<V>(n, std::integral_constant<int, 2>{}, M, k, p, places); break;
      case 3: eliminate_column<V>(n, std::integral_constant<int, 3>{}, M, k, p, places); break;
      case 4: eliminate_column<V>(n, std::integral_constant<int, 4>{}, M, k, p, places); break;
      default: eliminate_column<V>(n, ld / Scalar<V>::lanes, M, k, p, places);
    }
  }
  for (int j = 0; j < n; j++) source[j] = j;
  for (int k = n - 1; k >= 0; k--) std::swap(source[k], source[pivot[k]]);
}

}  // namespace
