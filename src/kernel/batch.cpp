// Orders 1 to 16: many matrices side by side, one in each lane, everything while it is in cache.
#include "batch.h"

#include "block.h"
#include "propose_gj.h"
#include "propose_net.h"

namespace dmx::DMX_ISA {
namespace {

// The candidate in w.X, rounded to a common unit in each lane.
template <int n> DMX_INLINE void quantise(Block<n>& w) {
  const Vf shift = candidate_shift(n, largest<n * n>(w.X));
  for (int e = 0; e < n * n; e++) {
    Vf x = w.X[e];
    keep(x);
    x = (x + shift) - shift;
    w.X[e] = x;
    w.X0[0][e] = widened(half<0>(x));
    w.X0[1][e] = widened(half<1>(x));
  }
  w.X0_sum = largest_row_sum<n>(w.X);
}

// The candidates at X, after a Newton step in float32.
template <int n> DMX_APART void take_given(Block<n>& w, const double* X) {
  constexpr int N = n * n;
  std::memcpy(w.S, w.X, sizeof w.S);
  for (int h = 0; h <= w.last; h++) load<N>(X + h * LD * N, w.X0[h]);
  for (int e = 0; e < N; e++)
    w.X[e] = narrowed(w.X0[0][e] / w.scale[0], w.X0[w.last][e] / w.scale[w.last]);
  product<n>(w.S, w.X, [&](int i, int j, Vf c) DMX_LAMBDA {
    w.Y[i * n + j] = splat(i == j ? 1.0f : 0.0f) - c;
  });
  product<n>(w.X, w.Y, [&](int i, int j, Vf c) DMX_LAMBDA { w.S[i * n + j] = c; });
  for (int e = 0; e < N; e++) w.X[e] += w.S[e];
}

// R = I - B1 X0 - B2 X0, to doubled precision.
template <int n> DMX_INLINE void residual(Block<n>& w) {
  for (int h = 0; h <= w.last; h++)
    tiled<n, Vd>([](int i, int j) DMX_LAMBDA { return splat(i == j ? 1.0 : 0.0); },
                 [&](auto& c, int i, int j) DMX_LAMBDA {
                   accumulate<n>(c, w.B1[h] + i * n, w.X0[h] + j);
                   accumulate<n>(c, w.B2[h] + i * n, w.X0[h] + j);
                 },
                 [&](int i, int j, Vd c) DMX_LAMBDA { w.R[h][i * n + j] = c; });
  for (int e = 0; e < n * n; e++) w.S[e] = narrowed(w.R[0][e], w.R[w.last][e]);
  w.R_sum = largest_row_sum<n>(w.S);
}

// Y = R + R^2 + R^2 (R + R^2) in place of R; the last product in float32.
template <int n> DMX_INLINE void series(Block<n>& w) {
  for (int h = 0; h <= w.last; h++)
    product<n>(w.R[h], w.R[h], [&](int i, int j, Vd c) DMX_LAMBDA { w.B2[h][i * n + j] = c; });
  for (int e = 0; e < n * n; e++) {
    w.S[e] = narrowed(w.B2[0][e], w.B2[w.last][e]);
    for (int h = 0; h <= w.last; h++) w.R[h][e] += w.B2[h][e];
    w.Y[e] = narrowed(w.R[0][e], w.R[w.last][e]);
  }
  product<n>(w.S, w.Y, [&](int i, int j, Vf c) DMX_LAMBDA {
    w.R[0][i * n + j] += widened(half<0>(c));
    if (w.last) w.R[1][i * n + j] += widened(half<1>(c));
  });
}

// X1 = X0 + X0 Y, its last rounding, and the bounds.
template <int n, int h>
DMX_INLINE void correct(Block<n>& w, const Results& to, long first) {
  constexpr int N = n * n;
  Vd sums[n] = {};
  Vd* X = w.B1[h];
  product<n>(w.X0[h], w.R[h], [&](int i, int j, Vd c) DMX_LAMBDA {
    keep(c);
    const Vd x0 = w.X0[h][i * n + j], x1 = x0 + c, d = c - (x1 - x0);
    X[i * n + j] = x1 * w.scale[h];
    sums[i] += absolute(d);
  });
  Vd top = sums[0], total = sums[0];
  for (int i = 1; i < n; i++) top = larger(sums[i], top), total += sums[i];
  const Vh X0_sum = half<h>(w.X0_sum);
  const Bounds b = bounds(n, in_a_row(n), half<h>(w.B_sum), half<h>(w.R_sum), X0_sum,
                          rest_product(n, X0_sum), top + (total - total), w.scale[h], w.in_range[h],
                          Id{});
  const long k = first + h * LD;
  *(Vd_any*)(to.error + k) = b.error;
  *(Vd_any*)(to.residual + k) = b.residual;
  *(Vd_any*)(to.relative + k) = b.relative;
  const Id known = (b.finished & finished) | (half<h>(w.even) & w.usual[h] & plain) |
                   (half<h>(w.zeros) & sparse);
  const Bd state = __builtin_convertvector(known, Bd);
  std::memcpy(to.state + k, &state, LD);
  store<N>(to.X + k * N, X);
}

template <int n, Method method> DMX_APART void propose_order(Vf* A) {
  if constexpr (method == Method::network) propose<n>(A);
  else eliminate<n>(A);
}
using Proposer = void (*)(Vf*);  // none where candidates are given

// LF matrices at A, or LD where last is 0; results from entry `first` on.
template <int n>
DMX_APART void invert_block(Proposer proposer, const double* A, const Results& to, long first,
                            int last) {
  Block<n> w;
  w.last = last;
  prepare(w, A);
  if (proposer) proposer(w.X);
  else take_given(w, to.X + first * n * n);
  quantise(w);
  residual(w);
  series(w);
  correct<n, 0>(w, to, first);
  if (last) correct<n, 1>(w, to, first);
}

// Whole blocks, and a last one that is filled up with copies of its first matrix.
template <int n> void invert_order(Method method, const double* A, Results to, long count) {
  constexpr int N = n * n;
  const Proposer proposer = method == Method::given     ? nullptr
                            : method == Method::network ? propose_order<n, Method::network>
                                                        : propose_order<n, Method::elimination>;
  long k = 0;
  for (; k + LF <= count; k += LF) invert_block<n>(proposer, A + k * N, to, k, 1);
  const int rest = (int)(count - k);
  if (!rest) return;
  alignas(64) double a[LF * N], x[LF * N], error[LF], residual[LF], relative[LF];
  uint8_t state[LF];
  fill<n>(a, A + k * N, rest);
  if (!proposer) fill<n>(x, to.X + k * N, rest);
  invert_block<n>(proposer, a, Results{x, error, residual, relative, state}, 0, rest > LD);
  std::memcpy(to.X + k * N, x, rest * N * sizeof(double));
  std::memcpy(to.error + k, error, rest * sizeof(double));
  std::memcpy(to.residual + k, residual, rest * sizeof(double));
  std::memcpy(to.relative + k, relative, rest * sizeof(double));
  std::memcpy(to.state + k, state, rest);
}

using Order = void (*)(Method, const double*, Results, long);
template <int... n>
void choose(int order, Method method, const double* A, Results to, long count,
            std::integer_sequence<int, n...>) {
  static constexpr Order orders[] = {invert_order<n + 1>...};
  orders[order - 1](method, A, to, count);
}

template <Method method, int... n>
void choose(int order, Vf* A, std::integer_sequence<int, n...>) {
  static constexpr Proposer proposers[] = {propose_order<n + 1, method>...};
  proposers[order - 1](A);
}

constexpr std::make_integer_sequence<int, batch_order> orders{};

}  // namespace

void propose_lanes(int n, Method method, Vf* A) {
  if (method == Method::network) choose<Method::network>(n, A, orders);
  else choose<Method::elimination>(n, A, orders);
}

void invert_batch(int n, Method method, const double* A, Results to, long count) {
  choose(n, method, A, to, count, orders);
}

}  // namespace dmx::DMX_ISA
