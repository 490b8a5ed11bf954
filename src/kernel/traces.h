// The inverse of I - R from traces of R. What spectral/traces.py is, step by step.
#pragma once
#include "moments.h"

namespace dmx::DMX_ISA {

constexpr int least_traced = 3, most_traced = 32;
constexpr double trace_roundings = 8, narrowest = 1e-2;

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
  const Shape& shape;
  double* const* T;  // T_1, ..., T_s, then T_2s, T_3s, ...
  double q[most_traced] = {};

 public:
  static constexpr int room = 13;
  const Parts parts;
  double growth;  // what errors of R become

  // `gram` are the inner products of I, R and R^2.
  Traces(const Shape& shape, const double* R, const double* square, const double* gram,
         double* const* room)
      : shape(shape), T(room), parts(shape.n) {
    const int n = shape.n, s = parts.small;
    double m, h;
    interval(gram, m, h);
    const double once = 1 / h, twice = 2 / (h * h);
    double *const first = T[0], *const second = T[1];
    vectors(shape, [&](int e) DMX_LAMBDA {
      at(first, e) = once * at(R, e);
      at(second, e) = twice * (at(square, e) - 2 * m * at(R, e));
    });
    for (int i = 0; i < n; i++) {
      first[i * (shape.ld + 1)] -= once * m;
      second[i * (shape.ld + 1)] += twice * m * m - 1;
    }
    for (int j = 3; j <= s; j++) doubled(0, j);
    for (int j = 2; j < parts.blocks; j++) doubled(s - 1, j);

    double t[most_traced + 1], chi[most_traced + 1], sums[most_traced + 3] = {};
    moments(t);
    chebyshev(t, chi);
    const double at = (1 - m) / h;
    for (int j = n; j >= 0; j--) sums[j] = chi[j] + 2 * at * sums[j + 1] - sums[j + 2];
    const double whole = chi[0] + at * sums[1] - sums[2];
    double size = 0, cancelled = 0, last = at, polynomial = 1;
    for (int j = 0; j < n; j++) {
      q[j] = (j ? 2 : 1) * sums[j + 1] / (whole * h);
      size += std::fabs(q[j]);
    }
    for (int j = 0; j <= n; j++) {
      cancelled += std::fabs(chi[j] * polynomial);
      const double next = 2 * at * polynomial - last;
      last = polynomial, polynomial = next;
    }
    growth = size + cancelled / std::fabs(whole);
  }

  // q(R) to Y, with room for a block and its product.
  void polynomial(double* Y, double* block, double* product) {
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

  // Middle and half width of an interval with all eigenvalues of R.
  void interval(const double* gram, double& m, double& h) const {
    const double n = shape.n, one = gram[1], two = gram[4], three = gram[5], four = gram[8];
    m = one / n;
    const double least = narrowest * narrowest * narrowest * narrowest;
    for (int step = 0; step < 3; step++) {
      const double slope = m * (m * (n * m - 3 * one) + 3 * two) - three;
      m -= slope / std::fmax(3 * (two - m * (2 * one - n * m)), least);
    }
    const double power = four - m * (4 * three - m * (6 * two - m * (4 * one - n * m)));
    h = std::sqrt(std::sqrt(std::fmax(power, least)));
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

  // Traces of T_0, ..., T_n: of the matrices that are there, and of their products.
  void moments(double* t) const {
    const int s = parts.small;
    t[0] = shape.n;
    for (int k = 1; k <= s; k++) t[k] = trace(shape, T[k - 1]);
    for (int k = s + 1; k <= shape.n; k++) {
      const int j = std::min(k / s, parts.blocks - 1), rest = k - j * s;
      t[k] = rest ? 2 * inner(shape, large(j), T[rest - 1]) - t[std::abs(j * s - rest)]
                  : trace(shape, large(j));
    }
  }

  // Chebyshev coefficients of 2^n chi: Newton's identities for them.
  void chebyshev(const double* t, double* chi) const {
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
