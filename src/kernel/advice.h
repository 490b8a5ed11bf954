// The network of `spectral` and the polynomials that it chooses. What spectral/advice.py is.
#pragma once
#include "fit.h"

namespace dmx::DMX_ISA {

constexpr double least_ratio = 1e-12;  // whose logarithm is taken
constexpr float largest_feature = 1e6f;

DMX_INLINE double log_ratio(double x) { return std::log(std::fmax(x, least_ratio)); }

// tanh to an absolute error of a few 1e-7, by 2^t = 2^round(t) (1 + s + s^2/2 + ...)
DMX_INLINE Vf hyperbolic_tangent(Vf x) {
  x = larger(larger(x, splat(-10.0f)) * -1.0f, splat(-10.0f)) * -1.0f;
  const Vf t = x * (2 * 1.44269504f), shift = splat(0x1.8p23f);
  Vf whole = t + shift;
  keep(whole);
  whole -= shift;
  const Vf s = (t - whole) * 0.693147181f;
  Vf power = splat(1.0f / 5040);
  for (float c : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
    power = power * s + c;
  const Vf scale = (Vf)((__builtin_convertvector(whole, If) + 127) << 23);
  return 1.0f - 2.0f / (power * scale + 1.0f);
}

// Features in, answers out; the hidden state goes from one consultation to the next.
class Adviser {
  const Network& network;
  alignas(64) float input[32 + Network::most_units], hidden[Network::most_units] = {};

  static const float* times(const float* W, int in, int out, const float* x, float* y) {
    const float* bias = W + in * out;
    for (int j = 0; j < out; j += Network::width) {
      constexpr int vectors = Network::width / LF;
      Vf sum[vectors];
      unrolled<vectors>([&](auto v) DMX_LAMBDA { sum[v] = *(const Vf_any*)(bias + j + v * LF); });
      for (int i = 0; i < in; i++)
        unrolled<vectors>([&](auto v) DMX_LAMBDA {
          sum[v] += x[i] * *(const Vf_any*)(W + i * out + j + v * LF);
        });
      unrolled<vectors>([&](auto v) DMX_LAMBDA { *(Vf*)(y + j + v * LF) = sum[v]; });
    }
    return bias + out;
  }

 public:
  explicit Adviser(const Network& network) : network(network) {}

  void advise(int consultation, const double* features, float (&answers)[Network::width]) {
    const int seen = Network::seen[consultation], units = network.units;
    const float* W = network.weights + (consultation ? Network::size(0, units) : 0);
    for (int i = 0; i < seen; i++) {
      const double f = features[i], most = largest_feature;
      input[i] = (float)(f > most ? most : f < -most ? -most : f);
    }
    std::memcpy(input + seen, hidden, sizeof(float) * units);
    alignas(64) float z[2 * Network::most_units], m[Network::most_units];
    W = times(W, seen + units, 2 * units, input, z);
    for (int j = 0; j < units; j += LF) {
      const Vf gate = *(const Vf*)(z + j), value = *(const Vf*)(z + units + j);
      *(Vf*)(z + j) = gate * (0.5f + 0.5f * hyperbolic_tangent(0.5f * gate)) * value;
    }
    W = times(W, units, units, z, m);
    for (int j = 0; j < units; j += LF)
      *(Vf*)(hidden + j) += hyperbolic_tangent(*(const Vf*)(m + j));
    times(W, units, Network::width, hidden, answers);
  }
};

// What a block knows: polynomials M, the first I and the second R, R^2, and the fit by the images.
struct Look {
  Coefficients known[degrees], square;
  Fit fit;
};

// The fit of degree two.
inline Look look(Coefficients one, Coefficients R, Coefficients square, const Moments& space,
                 double noise) {
  Look seen{{one, R, {}}, square, Fit(R)};
  extend(seen.fit, R, one, R, space, noise);
  extend(seen.fit, R, R, square, space, noise);
  return seen;
}

// Coefficients of the block's P, and whether to open instead, above zero.
inline void choose(Adviser& adviser, const Look& seen, const Moments& space,
                   float (&answers)[Network::width]) {
  const Coefficients one = seen.known[0], R = seen.known[1], square = seen.square;
  const Fit& fit = seen.fit;
  const double n = space.inner(one, one), norm = space.norm(R), left = space.norm(fit.remainder);
  const double share = fit.coefficients[0] / norm, root = std::sqrt(n);
  const Coefficients directions[] = {fit.remainder / left, fit.basis[0], fit.basis[1]};
  double f[] = {
      std::log(norm), log_ratio(left / norm), log_ratio(1 - share * share), std::log(n),
      space.inner(one, R) / n, space.inner(square, R) / (norm * norm),
      space.inner(square, square) / (norm * norm), 0, 0, 0, 0, 0, 0,
      fit.coefficients[0] / norm, fit.coefficients[1] / norm};
  static_assert(sizeof f == Network::seen[0] * sizeof(double));
  for (int i = 0; i < 3; i++) {
    f[7 + i] = space.inner(one, directions[i]) / root;
    f[10 + i] = space.inner(square, directions[i]) / (norm * norm);
  }
  adviser.advise(0, f, answers);
}

// Raises a block's degree from two to nine, for three products.
inline void lift(Look& seen, const float (&choice)[Network::width], Moments& space, double noise) {
  const Coefficients one = seen.known[0], R = seen.known[1];
  Fit& fit = seen.fit;
  const double root = std::sqrt(space.inner(one, one));
  const Coefficients rest = fit.remainder / space.norm(fit.remainder);
  const Coefficients first = fit.basis[0], second = fit.basis[1];
  double c[10];
  for (int i = 0; i < 10; i++) c[i] = choice[i];
  Coefficients S = space.product(seen.square, (1 + c[0]) * rest + c[1] * first + c[2] * second);
  S /= space.norm(S);
  const Coefficients U = S + c[3] * first + c[4] * second;
  const Coefficients V = root * (S + c[5] * first + c[6] * second) + c[7] * one;
  Coefficients P = space.product(U, V) + c[8] * S + c[9] * rest;
  P /= space.norm(P);
  seen.known[2] = P;
  extend(fit, R, P, space.product(R, P), space, noise);
}

// Corrections of a block's three coefficients, in units of the residual that the uncorrected step
// leaves; `before` is what the step of degree two left.
inline void foresee(Adviser& adviser, const Look& seen, double before, const Moments& space,
                    float (&answers)[Network::width]) {
  const Coefficients one = seen.known[0], R = seen.known[1], P = seen.known[2];
  const Fit& fit = seen.fit;
  const double n = space.inner(one, one), norm = space.norm(R), left = space.norm(fit.remainder);
  const Coefficients seen_by[] = {fit.remainder / left, P, fit.basis[0], fit.basis[1],
                                  fit.basis[2]};
  double f[Network::seen[1]] = {std::log(left), log_ratio(left / before)};
  for (int i = 0; i < 3; i++) f[2 + i] = fit.coefficients[i] / norm;
  for (int i = 0; i < 5; i++) {
    f[5 + i] = space.inner(one, seen_by[i]) / std::sqrt(n);
    f[10 + i] = space.inner(seen.square, seen_by[i]) / (norm * norm);
  }
  for (int i = 0; i < 4; i++) f[15 + i] = space.inner(P, seen_by[i ? i + 1 : 0]);
  adviser.advise(1, f, answers);
}

}  // namespace
