// The open-ended step: minimal residuals by a three-term recurrence. What spectral/opening.py is.
#pragma once
#include "fit.h"

namespace dmx::DMX_ISA {

constexpr int open_degree = 12;

// Coefficients in the identity and directions.
struct Row {
  int count = 0;
  double c[open_degree + 1] = {};

  // this + t other
  void add(double t, const Row& other) {
    count = std::max(count, other.count);
    for (int i = 0; i < other.count; i++) c[i] += t * other.c[i];
  }
  void scale(double t) {
    for (int i = 0; i < count; i++) c[i] *= t;
  }
};

class Opening {
  const Shape& shape;
  const double *R, noise;
  double* const* directions;  // the last is ahead, until it is taken
  int taken_so_far = 0;
  Row row, before;
  double bound, bound_before = 0, length = 0;

 public:
  static constexpr int room = open_degree + 1;
  double* const remainder;
  Row p;
  double growth, reach;  // the latter bounds |R|_2: |R|_F, and |R^2|_F^(1/2) once that is there

  Opening(const Shape& shape, const double* R, double* const* room, double noise)
      : shape(shape), R(R), noise(noise), directions(room),
        bound(std::sqrt((double)shape.n)), remainder(room[open_degree]), growth(bound),
        reach(std::sqrt(inner(shape, R, R))) {
    row.count = p.count = 1;
    row.c[0] = p.c[0] = 1;
    double* ahead = directions[0];
    vectors(shape, [&](int e) DMX_LAMBDA {
      at(remainder, e) = at(R, e);
      at(ahead, e) = -at(R, e);
    });
    for (int i = 0; i < shape.n; i++) ahead[i * (shape.ld + 1)] += 1;
  }

  // The step along the direction ahead. It counts while the error of (I - R) m, for an R that is
  // off by `noise`, stays below one. Returns the norm of what is left.
  double take() {
    double* q = directions[taken_so_far++];
    length = std::sqrt(std::fmax(inner(shape, q, q), tiny));
    const double scale = noise_share * (noise + eps) * bound < length ? 1 / length : 0.0;
    Vd along{};
    vectors(shape, [&](int e) DMX_LAMBDA {
      at(q, e) *= scale;
      along += at(q, e) * at(remainder, e);
    });
    const double t = across(along);
    Vd left{};
    vectors(shape, [&](int e) DMX_LAMBDA {
      const Vd r = at(remainder, e) - t * at(q, e);
      at(remainder, e) = r;
      left += r * r;
    });
    row.scale(scale);
    p.add(t, row);
    bound *= scale;
    growth += std::fabs(t) * bound;
    return std::sqrt(across(left));
  }

  // The next direction, for the product R q with the last q, unless R^2 makes it known.
  void turn(const double* square) {
    const double* q = directions[taken_so_far - 1];
    double* ahead = directions[taken_so_far];
    if (square)
      vectors(shape, [&](int e) DMX_LAMBDA { at(ahead, e) = (at(R, e) - at(square, e)) / length; });
    else  // whole: q is off by what need not commute with R, and R q, so far, is not symmetric
      multiply(shape, R, q, ahead);
    const bool second = taken_so_far == 1;
    if (second) reach = std::fmin(reach, std::sqrt(size_of_square(square, ahead)));
    const double a = inner(shape, ahead, q);
    const double* behind = directions[second ? 0 : taken_so_far - 2];
    const double b = second ? 0.0 : length;
    vectors(shape, [&](int e) DMX_LAMBDA { at(ahead, e) -= a * at(q, e) + b * at(behind, e); });
    Row next = row;
    next.scale(1 - a);
    next.c[next.count++] = -1;
    if (!second) next.add(-length, before);
    const double last = bound;
    bound = std::fabs(1 - a) * bound + length * bound_before + 1;
    before = row, row = next, bound_before = last;
  }

  // |R^2|_F, which R q makes known for the first q.
  double size_of_square(const double* square, const double* image) const {
    Vd sum{};
    vectors(shape, [&](int e) DMX_LAMBDA {
      const Vd r = square ? at(square, e) : at(R, e) - length * at(image, e);
      sum += r * r;
    });
    return std::sqrt(across(sum));
  }

  void polynomial(double* to) const {
    combine(shape, p.c[0], p.count - 1, p.c + 1, directions, to);
  }
};

}  // namespace
