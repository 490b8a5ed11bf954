// Orders 1 to 16: many matrices side by side, one in each lane; scaled, split and looked at.
#pragma once
#include "batch.h"
#include "kernel.h"
#include "series.h"
#include "tiles.h"

namespace dmx::DMX_ISA {

// What the block works on: LF matrices, in halves of LD where numbers are doubles.
template <int n> struct Block {
  static constexpr int N = n * n;
  alignas(64) Vd B1[2][N], B2[2][N], X0[2][N], R[2][N];
  alignas(64) Vf X[N], S[N], Y[N];
  int last;  // the last half that has matrices in it: 0 or 1
  Vd scale[2];
  Id in_range[2], usual[2];
  If even, zeros;
  Vf B_sum, X0_sum, R_sum;
};

template <int n> DMX_INLINE Vf largest_row_sum(const Vf* M) {
  Vf top{}, total{};
  for (int i = 0; i < n; i++) {
    Vf sum{};
    unrolled<n>([&](auto j) DMX_LAMBDA { sum += absolute(M[i * n + j]); });
    top = larger(sum, top);
    total += sum;
  }
  return top + (total - total);  // NaN where a sum is not finite
}

// The largest row sum, whether rows and columns are even, and whether an entry may be zero.
template <int n> DMX_INLINE void survey(Block<n>& w) {
  Vf columns[n] = {}, low = splat(-2.0f), entry = low, top{}, total{};
  for (int i = 0; i < n; i++) {
    Vf sum{}, row{};
    unrolled<n>([&](auto j) DMX_LAMBDA {
      const Vf a = absolute(w.X[i * n + j]);
      sum += a;
      row = larger(a, row);
      columns[j] = larger(a, columns[j]);
      entry = larger(-a, entry);
    });
    low = larger(-row, low);
    top = larger(sum, top);
    total += sum;
  }
  w.B_sum = top + (total - total);  // NaN where a sum is not finite
  top = columns[0];
  unrolled<n>([&](auto j) DMX_LAMBDA {
    low = larger(-columns[j], low);
    top = larger(columns[j], top);
  });
  w.even = low * -even_lines > top;
  w.zeros = entry > splat(-0x1p-100f);
}

// Scale and split; -B1 and -B2 are what the residual adds. B in float32 goes to the proposer.
template <int n> DMX_INLINE void prepare(Block<n>& w, const double* A) {
  constexpr int N = n * n;
  constexpr double shift = splits.of[n].shift;
  unrolled<2>([&](auto h) DMX_LAMBDA {
    load<N>(A + (h <= w.last ? h : 0) * LD * N, w.B1[h]);
    const Vd top = largest<N>(w.B1[h]);
    w.in_range[h] = (top >= 0x1p-900) & (top <= 0x1p900);
    w.usual[h] = usual_magnitude(top);
    w.scale[h] = (Vd)((2046LL << 52) - (Id)power_below(top));
  });
  for (int e = 0; e < N; e++) {
    Vd b[2];
    unrolled<2>([&](auto h) DMX_LAMBDA {
      b[h] = w.B1[h][e] * w.scale[h];
      keep(b[h]);
      const Vd first = (b[h] + shift) - shift;
      w.B1[h][e] = -first;
      w.B2[h][e] = first - b[h];
    });
    w.X[e] = narrowed(b[0], b[1]);
  }
  survey(w);
}

// `rest` matrices, and copies of the first up to so many.
template <int n> void fill(double* to, const double* A, int rest, int whole) {
  constexpr int N = n * n;
  for (int b = 0; b < whole; b++) std::memcpy(to + b * N, A + (b < rest ? b : 0) * N, N * sizeof(double));
}

}  // namespace
