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
  const Id even = half<h>(w.even), apart = ~b.finished | distinct(n, b.residual);
  const Id known = (b.finished & finished) | (even & w.usual[h] & apart & plain) |
                   (~even & w.usual[h] & uneven) | (half<h>(w.zeros) & sparse);
  const Bd state = __builtin_convertvector(known, Bd);
  std::memcpy(to.state + k, &state, LD);
  store<N>(to.X + k * N, X);
}

template <int n, Method method> DMX_APART void propose_order(Vf* A) {
  if constexpr (method == Method::network) propose<n>(A);
  else eliminate<n>(A);
}

// Blocks that go together, and what proposes for them: for the last of them twice where it is alone.
template <int n> constexpr int together = n <= 4 ? 2 : 1;
using Proposer = void (*)(Vf*, Vf*);  // none where candidates are given
template <int n, Method method> DMX_APART void propose_blocks(Vf* A, Vf* B) {
  if constexpr (method == Method::network && together<n> == 2) {
    propose<n>(A, B);
  } else {
    propose_order<n, method>(A);
    if constexpr (together<n> == 2) propose_order<n, method>(B);
  }
}

template <int n> DMX_APART void conclude(Block<n>& w, const Results& to, long first) {
  quantise(w);
  residual(w);
  series(w);
  correct<n, 0>(w, to, first);
  if (w.last) correct<n, 1>(w, to, first);
}

// So many times LD matrices at A; results from entry `first` on.
template <int n>
DMX_APART void invert_blocks(Proposer proposer, const double* A, const Results& to, long first,
                             int halves) {
  Block<n> w[together<n>];
  const int blocks = (halves + 1) / 2;
  for (int b = 0; b < blocks; b++) {
    w[b].last = halves > 2 * b + 1;
    prepare(w[b], A + b * LF * n * n);
  }
  if (proposer) {
    if constexpr (together<n> == 2)
      if (blocks == 1) std::memcpy(w[1].X, w[0].X, sizeof w[0].X);
    proposer(w[0].X, w[together<n> - 1].X);
  } else {
    for (int b = 0; b < blocks; b++) take_given(w[b], to.X + (first + b * LF) * n * n);
  }
  for (int b = 0; b < blocks; b++) conclude(w[b], to, first + b * LF);
}

// Asks for what comes next while there is something to do: long stacks of small matrices would wait
// for memory otherwise. What is larger takes too much of the cache, and has more to do.
template <int n> DMX_INLINE void call_for(const double* A, const double* X) {
  constexpr int bytes = together<n> * LF * n * n * (int)sizeof(double), line = 64;
  if constexpr (bytes <= 1 << 14)
    for (int b = 0; b < bytes; b += line) {
      __builtin_prefetch((const char*)A + b, 0);
      __builtin_prefetch((const char*)X + b, 1);
    }
}

// Whole blocks, and last ones that are filled up with copies of their first matrix.
template <int n> void invert_order(Method method, const double* A, Results to, long count) {
  constexpr int N = n * n, whole = together<n> * LF;
  const Proposer proposer = method == Method::given     ? nullptr
                            : method == Method::network ? propose_blocks<n, Method::network>
                                                        : propose_blocks<n, Method::elimination>;
  long k = 0;
  for (; k + whole <= count; k += whole) {
    const long next = k + whole;
    if (next + whole <= count) call_for<n>(A + next * N, to.X + next * N);
    invert_blocks<n>(proposer, A + k * N, to, k, 2 * together<n>);
  }
  const int rest = (int)(count - k), halves = (rest + LD - 1) / LD;
  if (!rest) return;
  alignas(64) double a[whole * N], x[whole * N], error[whole], residual[whole], relative[whole];
  uint8_t state[whole];
  fill<n>(a, A + k * N, rest, halves * LD);
  if (!proposer) fill<n>(x, to.X + k * N, rest, halves * LD);
  invert_blocks<n>(proposer, a, Results{x, error, residual, relative, state}, 0, halves);
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
  static constexpr void (*proposers[])(Vf*) = {propose_order<n + 1, method>...};
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
