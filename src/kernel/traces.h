// The inverse of I - R from traces of R. What spectral/chebyshev.py and traces.py are, step by step.
#pragma once
#include "fit.h"

namespace dmx::DMX_ISA {

constexpr int least_traced = 3, most_traced = 28;
constexpr double trace_roundings = 8, narrowest = 1e-2, fold_above = 1.05;

// How many small degrees there are, and how many blocks of so many coefficients q has.
struct Parts {
  int small, blocks, known, products;
  explicit Parts(int n) {
    products = n * n;
    for (int s = 2; s < n; s++) {
      const int b = (n + s - 1) / s, before = s - 1 + b - 2;
      if (before + b - 1 < products) small = s, blocks = b, known = before, products = before + b - 1;
    }
  }
};

class Traces {
  static constexpr int most_small = 7;
  const Shape& shape;
  double* const* T;  // T_1, ..., T_s, then T_2s, T_3s, ...
  const double noise;
  double middle, half, t[most_traced + 1], q[most_traced] = {};
  Coefficients gram[most_small + 1] = {}, R{};  // of T_0, T_1, ...
  FitOf<most_small> fit;

 public:
  static constexpr int room = 13;
  const Parts parts;
  int degree = 2;  // of the last that is there
  double growth;   // what errors of R become in q

  // `known` are the inner products of I, R and R^2. Once `folded`, R's eigenvalues are in [-1, 1].
  Traces(const Shape& shape, const double* R, const double* square, const double* known,
         bool folded, double noise, double* const* room)
      : shape(shape), T(room), noise(noise), fit(folded ? R_within(0, 1) : R_of(known)),
        parts(shape.n) {
    const double m = middle, h = half, once = 1 / h, twice = 2 / (h * h);
    double *const first = T[0], *const second = T[1];
    vectors(shape, [&](int e) DMX_LAMBDA {
      at(first, e) = once * at(R, e);
      at(second, e) = twice * (at(square, e) - 2 * m * at(R, e));
    });
    for (int i = 0; i < shape.n; i++) {
      first[i * (shape.ld + 1)] -= once * m;
      second[i * (shape.ld + 1)] += twice * m * m - 1;
    }
    t[0] = shape.n, t[1] = trace(shape, first), t[2] = trace(shape, second);
    for (int j = 0; j < 3; j++) include(j, 3);
  }

  // The next T_j.
  void further() {
    doubled(0, ++degree);
    include(degree, 2 * degree - 1);
  }

  double inner(Coefficients a, Coefficients b) const {
    Coefficients image{};
    for (int i = 0; i <= degree; i++) image += b[i] * gram[i];
    image *= a;
    double sum = 0;
    for (int i = 0; i <= most_small; i++) sum += image[i];
    return sum;
  }
  // What the best step so far leaves, or what cannot be told from zero.
  double left() const {
    const auto norm = [&](Coefficients a) { return std::sqrt(std::fmax(inner(a, a), tiny)); };
    return std::fmax(norm(fit.remainder), unseen * norm(R));
  }
  // That step: p(R), what it leaves, and by how much errors grow.
  double step(double* p, double* left) const {
    Coefficients units[most_small];
    for (int j = 0; j < most_small; j++) units[j] = Moments::unit(j);
    const Polynomial found = polynomial(fit, fit.coefficients, units);
    matrix(found.p, p);
    matrix(fit.remainder, left);
    return found.growth;
  }

  // All the traces, and with them q.
  void finish() {
    const int n = shape.n;
    for (int j = 2; j < parts.blocks; j++) doubled(parts.small - 1, j);
    double chi[most_traced + 1], sums[most_traced + 3] = {};
    moments();
    chebyshev(chi);
    const double at = (1 - middle) / half;
    for (int j = n; j >= 0; j--) sums[j] = chi[j] + 2 * at * sums[j + 1] - sums[j + 2];
    const double whole = chi[0] + at * sums[1] - sums[2];
    double size = 0, cancelled = 0, last = at, polynomial = 1;
    for (int j = 0; j < n; j++) {
      q[j] = (j ? 2 : 1) * sums[j + 1] / (whole * half);
      size += std::fabs(q[j]);
    }
    for (int j = 0; j <= n; j++) {
      cancelled += std::fabs(chi[j] * polynomial);
      const double next = 2 * at * polynomial - last;
      last = polynomial, polynomial = next;
    }
    growth = size + cancelled / std::fabs(whole);
  }

  // q(R) to Y, once finished, with room for a block and its product.
  void inverse(double* Y, double* block, double* product) {
    const int s = parts.small, n = shape.n;
    double B[most_traced];
    bool first = true;
    for (int j = parts.blocks - 1; j > 0; j--) {  // T_{js + b} = 2 T_b T_js - T_{js - b}
      for (int b = 0; b < s; b++) B[b] = 0;
      for (int k = std::min((j + 1) * s, n) - 1; k > j * s; k--) {
        B[k - j * s] = 2 * q[k];
        q[2 * j * s - k] -= q[k];
      }
      combine(shape, q[j * s], s - 1, B + 1, T, block);
      multiply_symmetric(shape, block, large(j), first ? Y : product);
      if (!first) vectors(shape, [&](int e) DMX_LAMBDA { at(Y, e) += at(product, e); });
      first = false;
    }
    combine(shape, q[0], s - 1, q + 1, T, block);
    vectors(shape, [&](int e) DMX_LAMBDA { at(Y, e) += at(block, e); });
  }

 private:
  const double* large(int j) const { return T[parts.small + j - 2]; }

  void matrix(Coefficients c, double* to) const {
    double held[most_small];
    for (int j = 0; j < degree; j++) held[j] = c[j + 1];
    combine(shape, c[0], degree, held, T, to);
  }

  // R as a combination, with the middle and half width of an interval with all its eigenvalues.
  Coefficients R_of(const double* known) {
    const double n = shape.n, one = known[1], two = known[4], three = known[5], four = known[8];
    double m = one / n;
    const double least = narrowest * narrowest * narrowest * narrowest;
    for (int step = 0; step < 3; step++) {
      const double slope = m * (m * (n * m - 3 * one) + 3 * two) - three;
      m -= slope / std::fmax(3 * (two - m * (2 * one - n * m)), least);
    }
    const double power = four - m * (4 * three - m * (6 * two - m * (4 * one - n * m)));
    return R_within(m, std::sqrt(std::sqrt(std::fmax(power, least))));
  }
  Coefficients R_within(double m, double h) {
    R[0] = middle = m, R[1] = half = h;
    return R;
  }

  // T_j is there: traces of degrees to 2 j, from `next` on, and the image of T_{j - 1}.
  void include(int j, int next) {
    for (int i = std::max(j - 1, 0); i <= j; i++)
      if (i + j >= next) t[i + j] = 2 * DMX_ISA::inner(shape, T[i - 1], T[j - 1]) - t[j - i];
    for (int i = 0; i <= j; i++) gram[i][j] = gram[j][i] = 0.5 * (t[i + j] + t[j - i]);
    if (!j) return;
    const Coefficients last = Moments::unit(j - 1);
    Coefficients image = Moments::unit(j);
    if (j > 1) image = 0.5 * (image + Moments::unit(j - 2));
    extend(fit, R, last, middle * last + half * image, *this, noise);
  }

  // The next of those that begin at `from`: T_j = 2 T_a T_b - T_{b - a}, a + b = j.
  void doubled(int from, int j) {
    const auto place = [&](int i) { return i == 1 ? from : from ? parts.small + i - 2 : i - 1; };
    const int a = j / 2;
    double* to = T[place(j)];
    multiply_symmetric(shape, T[place(a)], T[place(j - a)], to);
    if (j == 2 * a) {
      vectors(shape, [&](int e) DMX_LAMBDA { at(to, e) += at(to, e); });
      for (int i = 0; i < shape.n; i++) to[i * (shape.ld + 1)] -= 1;
    } else {
      const double* less = T[from];
      vectors(shape, [&](int e) DMX_LAMBDA { at(to, e) = 2 * at(to, e) - at(less, e); });
    }
  }

  // Traces to T_n, of which those to twice the small degrees are there.
  void moments() {
    const int s = parts.small;
    for (int k = 2 * s + 1; k <= shape.n; k++) {
      const int j = std::min(k / s, parts.blocks - 1), rest = k - j * s;
      t[k] = rest ? 2 * DMX_ISA::inner(shape, large(j), T[rest - 1]) - t[std::abs(j * s - rest)]
                  : trace(shape, large(j));
    }
  }

  // Chebyshev coefficients of 2^n chi: Newton's identities for them.
  void chebyshev(double* chi) const {
    const int n = shape.n;
    double g[most_traced + 1] = {1};
    for (int m = 1; m <= n; m++) {
      double sum = 0;
      for (int j = 1; j <= m; j++) sum += t[j] * g[m - j];
      g[m] = -2.0 / m * sum;
    }
    chi[0] = g[n];
    for (int m = 1; m <= n; m++) chi[m] = 2 * g[n - m];
  }
};

}  // namespace
