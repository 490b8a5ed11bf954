// Products of order-n matrices in lanes, in square tiles that stay in registers.
#pragma once
#include "vec.h"

namespace dmx::DMX_ISA {

// The side of a tile: few leftovers, and its accumulators fit the registers, of which AVX2 and SSE
// have 16 only.
#if defined(__x86_64__) && !defined(__AVX512F__)
constexpr int tile_side(int n) { return n <= 3 ? n : n == 4 ? 2 : 3; }
#else
constexpr int tile_side(int n) { return n <= 4 ? n : n % 4 == 0 ? 4 : n % 3 == 0 || n == 5 ? 3 : 4; }
#endif

// c += A X for the TI rows of A at a and the TJ columns of X at x, all of order n.
template <int n, int TI, int TJ, class V>
DMX_INLINE void accumulate(V (&c)[TI][TJ], const V* a, const V* x) {
  for (int k = 0; k < n; k++) {
    V row[TJ];
    unrolled<TJ>([&](auto j) DMX_LAMBDA { row[j] = x[k * n + j]; });
    unrolled<TI>([&](auto i) DMX_LAMBDA {
      V f = a[i * n + k];
      keep(f);
      unrolled<TJ>([&](auto j) DMX_LAMBDA { c[i][j] += f * row[j]; });
    });
  }
}

// f(TI, TJ, i, j) for every tile: its size, as constants, and its upper left corner.
template <int n, class F> DMX_INLINE void tiles(F&& f) {
  constexpr int T = tile_side(n), rest = n % T;
  using Whole = std::integral_constant<int, T>;
  using Rest = std::integral_constant<int, rest>;
  for (int i = 0; i + T <= n; i += T) {
    for (int j = 0; j + T <= n; j += T) f(Whole{}, Whole{}, i, j);
    if constexpr (rest) f(Whole{}, Rest{}, i, n - rest);
  }
  if constexpr (rest) {
    for (int j = 0; j + T <= n; j += T) f(Rest{}, Whole{}, n - rest, j);
    f(Rest{}, Rest{}, n - rest, n - rest);
  }
}

// For every tile: start(c, i, j) fills it, the products add to it, finish(c, i, j) takes it.
template <int n, class V, class Start, class Add, class Finish>
DMX_INLINE void tiled(Start&& start, Add&& add, Finish&& finish) {
  tiles<n>([&](auto TI, auto TJ, int i, int j) DMX_LAMBDA {
    V c[TI][TJ];
    unrolled<TI>([&](auto p) DMX_LAMBDA {
      unrolled<TJ>([&](auto q) DMX_LAMBDA { c[p][q] = start(i + p, j + q); });
    });
    add(c, i, j);
    unrolled<TI>([&](auto p) DMX_LAMBDA {
      unrolled<TJ>([&](auto q) DMX_LAMBDA { finish(i + p, j + q, c[p][q]); });
    });
  });
}

// finish(i, j, (A X)_ij) for every entry.
template <int n, class V, class Finish>
DMX_INLINE void product(const V* A, const V* X, Finish&& finish) {
  tiled<n, V>([](int, int) DMX_LAMBDA { return V{}; },
              [&](auto& c, int i, int j) DMX_LAMBDA { accumulate<n>(c, A + i * n, X + j); }, finish);
}

}  // namespace
