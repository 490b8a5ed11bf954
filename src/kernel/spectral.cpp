// Guesses by the network `spectral`, one matrix at a time, all of it while it is in cache. What
// spectral/start.py and spectral/driver.py are.
#include "spectral.h"

#include <memory>

#include "advice.h"
#include "opening.h"
#include "traces.h"

namespace dmx::DMX_ISA {
namespace {

constexpr int most_blocks = 8, block_products = 5, small_order = 7;
constexpr int greedy[] = {3, 3, 3};
constexpr double early_exit = 1e-3;
enum Way : uint8_t { by_network, by_greedy_steps, by_opening, by_traces, squeezed, folded };

// So many matrices, two lines apart from where they would compete for the same places of the cache.
template <int count> class Room {
  const std::unique_ptr<double[]> numbers;

 public:
  double* at[count];
  explicit Room(const Shape& shape) : numbers(new double[count * (shape.size + 16L) + 8]) {
    double* first = (double*)(((uintptr_t)numbers.get() + 63) / 64 * 64);
    for (int i = 0; i < count; i++) at[i] = first + i * (shape.size + 16L);
  }
};

// One matrix on its way. X is alpha I at first, if that is the start.
class Descent {
  const Guesses& g;
  const Shape shape;
  double *X, *other, *p, *const *matrices, *const *directions;
  Adviser adviser;
  double alpha, noise = eps, residual;
  int spent;
  bool scalar;  // X is alpha I

 public:
  static constexpr int room = 3 + Moments::room + Opening::room;
  static_assert(Traces::room <= Opening::room);

  Descent(const Guesses& g, double* const* room)
      : g(g), shape(g.n), X(room[0]), other(room[1]), p(room[2]), matrices(room + 3),
        directions(matrices + Moments::room), adviser(g.network) {}

  void run(long k) {
    const int n = shape.n, N = n * n, start = g.definite[k] ? -1 : 1;
    const double *gram = g.gram + 9 * k, at_first = std::sqrt(gram[4]);
    alpha = g.factor[k], residual = at_first, spent = start, scalar = start < 0;
    if (start > 0) shape.load_transpose(g.S + k * N, alpha, X);
    if (residual > g.enough) {
      shape.load(g.R + k * N, matrices[0]);
      if (n >= least_traced) shape.load(g.square + k * N, matrices[1]);
      descend(k, gram, (Way)g.ways[k]);
    }
    g.products[k] = std::max(spent, 0);
    if (spent == start || !(residual <= at_first)) {  // which no weights can get past
      residual = at_first;
      if (start > 0) shape.load_transpose(g.S + k * N, alpha, X);
      else combine(shape, alpha, 0, nullptr, nullptr, X);
    }
    g.residual[k] = residual;
    shape.store(X, g.X + k * N);
  }

 private:
  // Until done, or out of products.
  void descend(long k, const double* gram, Way way) {
    const bool small = shape.n <= small_order;
    if (small && fits(0)) return go_by_traces(k, gram, false);
    for (int block = 0; block < (small ? 0 : most_blocks); block++) {
      if (g.most - spent < block_products + 2) break;
      if (!contract(k, block ? nullptr : gram, block ? by_network : way)) return;
    }
    while (open(open_degree)) {}
  }

  // Whether the way by traces does, with so many products before.
  bool fits(int before) const {
    return shape.n >= least_traced && shape.n <= most_traced &&
           spent + before + Parts(shape.n).products < g.most;
  }

  // X <- X (I - R)^-1, or steps where these cost less or that is not known well. R^2 is there.
  void go_by_traces(long k, const double* gram, bool by_steps, bool after_fold = false) {
    Traces known(shape, matrices[0], matrices[1], gram, after_fold, noise + unseen / 10, directions);
    double *const Y = directions[Traces::room - 2], *const block = directions[Traces::room - 1];
    const double reach = std::sqrt(std::fmin(gram[4], std::sqrt(gram[8])));
    while (known.degree < known.parts.small) {
      known.further();
      // A step now, and powers of what it leaves, if these cost no more than all the rest.
      const double left = known.left();
      const int power = known.parts.products + 2 - known.degree;
      if (!enough(left, reach, spent + known.degree) && !(std::pow(left, power) <= g.enough))
        continue;
      const double growth = known.step(Y, block);
      if (step(Y, growth, block, known.degree, reach)) open_for_good(by_steps);
      return;
    }
    known.finish();
    const double predicted = trace_roundings * std::sqrt((double)shape.n) * noise * known.growth;
    if (!(predicted <= std::fmax(g.enough, early_exit))) {
      spent += known.parts.blocks - 2;  // what is there is good for a step at least
      const double growth = known.step(Y, block);
      if (step(Y, growth, block, known.degree, reach)) open_for_good(by_steps);
      return;
    }
    known.inverse(Y, block, other);
    multiplied(Y, known.parts.products + 1);
    residual = predicted;
    if (residual <= g.enough || spent >= g.most) return;
    double* R = matrices[0];
    shape.load(g.S + k * shape.n * shape.n, p);
    multiply(shape, p, X, R);
    vectors(shape, [&](int e) DMX_LAMBDA { at(R, e) = -at(R, e); });
    for (int i = 0; i < shape.n; i++) R[i * (shape.ld + 1)] += 1;
    spent++;
    residual = std::sqrt(inner(shape, R, R));
    noise = eps * (1 + std::sqrt(inner(shape, X, X)));
    while (residual > g.enough && open(open_degree)) {}
  }

  // X <- X p, for so many products.
  void multiplied(const double* p, int products) {
    if (scalar) {
      vectors(shape, [&](int e) DMX_LAMBDA { at(X, e) = alpha * at(p, e); });
    } else {
      multiply(shape, X, p, other);
      std::swap(X, other);
    }
    scalar = false;
    spent += products;
  }

  // Whether a step that leaves so much for so many products in all is the last but one.
  bool enough(double left, double reach, int after) const {
    return left * std::fmin(reach, 1) <= g.enough || (left * left <= g.enough && after < g.most);
  }

  // X <- X p(R), and R <- what that leaves; whether to go on from there. `reach` bounds |R|_2: who
  // needs no further residual takes X (p + R') of what X p would leave, R', which leaves R R'.
  bool step(const double* p, double growth, const double* left, int products, double reach) {
    residual = std::sqrt(inner(shape, left, left));
    if (reach < 1 && (reach * residual <= g.enough || spent + products == g.most)) {
      vectors(shape, [&](int e) DMX_LAMBDA { at(this->p, e) = at(p, e) + at(left, e); });
      p = this->p;
      residual *= reach;
    }
    multiplied(p, products);
    noise *= growth;
    double* R = matrices[0];
    vectors(shape, [&](int e) DMX_LAMBDA { at(R, e) = at(left, e); });
    return residual > g.enough;
  }

  // A step of the powers, up to such a degree.
  bool open(int most, const double* square = nullptr) {
    const int degree = std::min(most, g.most - spent);
    if (degree < 1) return false;
    Opening o(shape, matrices[0], directions, noise);
    for (int d = 1;; d++) {
      const double left = o.take();
      if (d == degree || enough(left, o.reach, spent + d)) {
        o.polynomial(p);
        return step(p, o.growth, o.remainder, d, o.reach);
      }
      o.turn(d == 1 ? square : nullptr);
    }
  }

  // A block, or whatever takes its place.
  bool contract(long k, const double* gram, Way way) {
    if (residual * residual <= g.enough) {  // X (I + R) will do
      while (open(open_degree)) {}
      return false;
    }
    Moments space(shape, matrices);
    const double roundoff = noise + unseen / 10;
    const Coefficients one = Moments::unit(0);
    const Coefficients R = gram ? space.known(gram + 3) : space.measured();
    const Coefficients square = gram ? space.known(gram + 6) : space.product(R, R);
    Look seen = look(one, R, square, space, roundoff);
    const Fit& fit = seen.fit;
    const double before = space.seen(fit.remainder);
    const double reach = std::fmin(space.norm(R), std::sqrt(space.norm(square)));
    if (enough(before, reach, spent + 2)) {
      return combined(space, seen, fit.coefficients, fit.remainder, 2, reach) &&
             open_for_good(false);
    }
    float choice[Network::width], moves[Network::width];
    choose(adviser, seen, space, choice);
    if (way >= by_traces) {
      if (!fits(way == by_traces ? 0 : 2)) way = by_network;
      else if (way == by_traces) return go_by_traces(k, gram, true), false;
      else if (way == folded) return fold(k, space, seen, reach);
      else if (combined(space, seen, fit.coefficients, fit.remainder, 2, reach))
        return go_by_traces_anew(k, false);
      else return false;
    }
    if (way != by_network || choice[10] > 0) return open_for_good(way == by_greedy_steps, matrices[1]);
    lift(seen, choice, space, roundoff);
    foresee(adviser, seen, before, space, moves);
    // Where the uncorrected step will do, there is nothing to look ahead to.
    const bool ahead = !enough(space.seen(fit.remainder), reach, spent + block_products);
    const double unit = ahead ? space.norm(fit.remainder) : 0.0;
    double steps[degrees];
    Coefficients rest = fit.remainder;
    for (int i = 0; i < degrees; i++) {
      steps[i] = fit.coefficients[i] - unit * moves[i];
      rest += unit * moves[i] * fit.basis[i];
    }
    return combined(space, seen, steps, rest, block_products, reach);
  }

  // By traces after a step.
  bool go_by_traces_anew(long k, bool after_fold) {
    const double* R = matrices[0];
    double* square = matrices[1];
    multiply_symmetric(shape, R, R, square);
    double gram[9];
    inner_products(shape, R, square, gram);
    return go_by_traces(k, gram, true, after_fold), false;
  }

  // A step that leaves T_2 of I - 2 (I - R)/b, with b above the largest eigenvalue of I - R.
  bool fold(long k, const Moments& space, const Look& seen, double reach) {
    const Coefficients one = seen.known[0], R = seen.known[1], square = seen.square;
    const double b = fold_above * std::sqrt(space.norm(one - 2 * R + square));
    const double c[] = {8 / b * (1 - 1 / b), 8 / (b * b)};
    const double* p = space.matrix(c[0] * one + c[1] * R, 0);
    const double* left =
        space.matrix((1 - 8 / b + c[1]) * one + (8 / b - 2 * c[1]) * R + c[1] * square, 1);
    return step(p, 1 + std::fabs(c[0]) + std::fabs(c[1]), left, 2, reach) &&
           go_by_traces_anew(k, true);
  }

  // Without the network from here on.
  bool open_for_good(bool by_steps, const double* square = nullptr) {
    for (int i = 0; by_steps && i < 3; i++, square = nullptr)
      if (!open(greedy[i], square)) return false;
    for (; open(open_degree, square); square = nullptr) {}
    return false;
  }

  bool combined(const Moments& space, const Look& seen, const double* steps, Coefficients rest,
                int products, double reach) {
    const Polynomial found = polynomial(seen.fit, steps, seen.known);
    const double *of_R = space.matrix(found.p, 0), *left = space.matrix(rest, 1);
    return step(of_R, found.growth, left, products, reach);
  }
};

}  // namespace

void spectral_start(const Guesses& g, long first, long last) {
  const Shape shape(g.n);
  const Room<4> room(shape);
  double *const S = room.at[0], *const T = room.at[1], *const R = room.at[2],
         *const square = room.at[3];
  const int N = g.n * g.n;
  for (long k = first; k < last; k++) {
    shape.load(g.S + k * N, S);
    const double size = inner(shape, S, S), unit = size > 0 ? size : 1;
    const double scale = g.definite[k] ? 1 / std::sqrt(unit) : 1 / unit;
    shape.load_transpose(g.S + k * N, 1, T);
    if (g.definite[k]) {  // symmetric but for rounding, which the powers would amplify
      vectors(shape, [&](int e) DMX_LAMBDA { at(R, e) = 0.5 * scale * (at(S, e) + at(T, e)); });
    } else {
      multiply_symmetric(shape, S, T, R);
      vectors(shape, [&](int e) DMX_LAMBDA { at(R, e) *= scale; });
    }
    const double factor = trace(shape, R) / std::fmax(inner(shape, R, R), tiny);
    g.factor[k] = factor * scale;
    vectors(shape, [&](int e) DMX_LAMBDA { at(R, e) *= -factor; });
    for (int i = 0; i < g.n; i++) R[i * (shape.ld + 1)] += 1;
    shape.store(R, g.R + k * N);
    if (g.n < least_traced) {
      std::memset(square, 0, sizeof(double) * shape.size);
    } else {
      multiply_symmetric(shape, R, R, square);
    }
    inner_products(shape, R, square, g.gram + 9 * k);
    shape.store(square, g.square + k * N);
  }
}

void spectral_descend(const Guesses& g, long first, long last) {
  const Room<Descent::room> room(Shape(g.n));
  for (long k = first; k < last; k++) Descent(g, room.at).run(k);
}

}  // namespace dmx::DMX_ISA
