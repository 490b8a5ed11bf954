// Least-squares fits of R by images (I - R) M of polynomials M. What linalg/polynomial.py is.
#pragma once
#include "moments.h"

namespace dmx::DMX_ISA {

constexpr double noise_share = 10;  // how many roundoffs an image may consist of before it counts
constexpr int degrees = 3;

template <int most> struct FitOf {
  int degree = 0;
  Coefficients basis[most], remainder;
  double rows[most][most] = {};  // basis[i] = sum_j rows[i][j] (M_j - R M_j)
  double coefficients[most];

  explicit FitOf(Coefficients R) : remainder(R) {}
};
using Fit = FitOf<degrees>;

// Adds the image of M, given R M.
template <int most, class Space>
void extend(FitOf<most>& fit, Coefficients R, Coefficients M, Coefficients RM, const Space& space,
            double noise) {
  const int d = fit.degree++;
  const Coefficients image = M - RM;
  const double square = space.inner(image, image);
  Coefficients w = image;
  double* row = fit.rows[d];
  row[d] = 1;
  for (int pass = 0; pass < 2; pass++)
    for (int i = 0; i < d; i++) {
      const double b = space.inner(fit.basis[i], w);
      w -= b * fit.basis[i];
      for (int j = 0; j <= i; j++) row[j] -= b * fit.rows[i][j];
    }
  const double left = space.inner(w, w), roundoff = noise_share * (noise + eps);
  const bool counts = left > roundoff * roundoff * (square + space.inner(M, M));
  const double scale = counts ? 1 / std::sqrt(std::fmax(left + eps * square, tiny)) : 0.0;
  fit.basis[d] = scale * w;
  for (int j = 0; j <= d; j++) row[j] *= scale;
  fit.coefficients[d] = space.inner(R, fit.basis[d]);
  fit.remainder -= fit.coefficients[d] * fit.basis[d];
}

// p = c[0] I + c[1] M_1 + ..., and by how much it makes errors of R grow.
struct Polynomial {
  Coefficients p;
  double growth = 1;
};

// For steps along the basis, where M_j is `known[j]` and M_0 = I.
template <int most>
Polynomial polynomial(const FitOf<most>& fit, const double* steps, const Coefficients* known) {
  Polynomial found{};
  found.growth = 1;
  for (int j = 0; j < fit.degree; j++) {
    double c = j == 0;
    for (int i = j; i < fit.degree; i++) c += steps[i] * fit.rows[i][j];
    found.p += c * known[j];
    found.growth += std::fabs(c);
  }
  return found;
}

}  // namespace
