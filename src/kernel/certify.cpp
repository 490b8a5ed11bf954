// Pairs of orders 1 to 16: LD of them side by side.
#include "certify.h"

#include <memory>

#include "batch.h"
#include "lanes.h"

namespace dmx::DMX_ISA {
namespace {

// The side of a tile: its accumulators fit the registers, of which AVX2 and SSE have 16 only.
#if defined(__x86_64__) && !defined(__AVX512F__)
constexpr int side = 3;
#else
constexpr int side = 4;
#endif

// f(T) for T rows or columns of those that are left.
template <class F> DMX_INLINE void sized(int left, F&& f) {
  if (left >= side) f(std::integral_constant<int, side>{});
  else if (left == 1) f(std::integral_constant<int, 1>{});
  else if (left == 2) f(std::integral_constant<int, 2>{});
  else f(std::integral_constant<int, 3>{});
}

// c += A X for the rows of A at a and the columns of X at x.
template <int TI, int TJ>
DMX_INLINE void accumulate(Vd (&c)[TI][TJ], int n, const Vd* a, const Vd* x) {
  for (int k = 0; k < n; k++) {
    Vd row[TJ];
    unrolled<TJ>([&](auto j) DMX_LAMBDA { row[j] = x[k * n + j]; });
    unrolled<TI>([&](auto i) DMX_LAMBDA {
      Vd f = a[i * n + k];
      keep(f);
      unrolled<TJ>([&](auto j) DMX_LAMBDA { c[i][j] += f * row[j]; });
    });
  }
}

// A1 X1 + A2 X2 + ..., one product after the other, where `diagonal` stands on the diagonal first.
template <int count> struct Sum {
  double diagonal;
  const Vd *A[count], *X[count];

  template <int TI, int TJ> DMX_INLINE void tile(int n, int i0, int j0, Vd* M) const {
    Vd c[TI][TJ];
    for (int i = 0; i < TI; i++)
      for (int j = 0; j < TJ; j++) c[i][j] = splat(i0 + i == j0 + j ? diagonal : 0.0);
    for (int q = 0; q < count; q++) accumulate(c, n, A[q] + i0 * n, X[q] + j0);
    for (int i = 0; i < TI; i++)
      for (int j = 0; j < TJ; j++) M[(i0 + i) * n + j0 + j] = c[i][j];
  }

  DMX_APART void to(int n, Vd* M) const {
    for (int i = 0; i < n; i += side)
      sized(n - i, [&](auto TI) DMX_LAMBDA {
        for (int j = 0; j < n; j += side)
          sized(n - j, [&](auto TJ) DMX_LAMBDA {
            this->template tile<decltype(TI)::value, decltype(TJ)::value>(n, i, j, M);
          });
      });
  }
};

// The 2n products after the exact ones, in a row.
DMX_INLINE Roundings with_all_bits(int n) {
  const double G = 1.01 * (2 * n + 2) * U;
  return {G, 2.01 * G, 1.01 * (n + 2) * U};
}

// LD pairs at A and X, `count` of them meant.
void certify_lanes(int n, const double* A, const double* X, const Results& to, long first,
                   int count, Vd* room) {
  const int N = n * n;
  Vd *B1 = room, *B2 = B1 + N, *X0 = B2 + N, *rest = X0 + N, *all = rest + N, *R = all + N;
  const double *a[LD], *x[LD];
  for (int l = 0; l < LD; l++)
    a[l] = A + (l < count ? l : 0) * N, x[l] = X + (l < count ? l : 0) * N;
  into_lanes(N, a, B1);
  into_lanes(N, x, all);
  const Id fits = is_plain(n, OfMany{B1});
  const Vd top = largest_modulus(N, B1), scale = (Vd)((2046LL << 52) - (Id)power_below(top));
  const Vd back = 1.0 / scale;
  for (int e = 0; e < N; e++) {
    B1[e] *= scale;
    all[e] *= back;
  }
  const Vd top_X = largest_modulus(N, all), shift_X = leading_shift(n, top_X);
  const double shift = splits.of[n].shift;
  for (int e = 0; e < N; e++) {
    Vd b = B1[e], z = all[e];
    keep(b), keep(z);
    const Vd leading = (b + shift) - shift, upper = (z + shift_X) - shift_X;
    B1[e] = -leading;
    B2[e] = leading - b;
    X0[e] = upper;
    rest[e] = z - upper;
  }
  PairNorms v;
  v.x = norm(n, OfMany{all});
  Sum<3>{1, {B1, B1, B2}, {X0, rest, all}}.to(n, R);
  for (int e = 0; e < N; e++) B1[e] += B2[e];
  v.b = norm(n, OfMany{B1});
  v.r = norm(n, OfMany{R});
  Sum<1>{0, {all}, {R}}.to(n, X0);
  v.c = norm(n, OfMany{X0});
  Sum<1>{0, {X0}, {B1}}.to(n, R);
  v.f = norm(n, OfMany{R});
  v.T = n * (v.b * (shift_X * 0x1p-53) + splits.of[n].rest * v.x);
  const Bounds found = judged(n, with_all_bits(n), v, scale, fits & (top_X < 0x1p450));
  for (int l = 0; l < count; l++) {
    to.error[first + l] = found.error[l];
    to.residual[first + l] = found.residual[l];
    to.relative[first + l] = found.relative[l];
    to.state[first + l] = found.finished[l] ? finished | plain : 0;
  }
}

}  // namespace

void certify_pairs(int n, const double* A, const double* X, Results to, long count) {
  if (n > batch_order) return certify_rows(n, A, X, to, count);
  const std::unique_ptr<Vd[]> room(new Vd[6 * n * n]);
  for (long k = 0; k < count; k += LD)
    certify_lanes(n, A + k * n * n, X + k * n * n, to, k, (int)(count - k < LD ? count - k : LD),
                  room.get());
}

}  // namespace dmx::DMX_ISA
