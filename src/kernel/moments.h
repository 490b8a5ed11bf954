// Symmetric matrices of one order, and polynomials of R as combinations of a few of them: one
// matrix at a time, in rows padded with zeros to whole vectors. What spectral/moments.py is.
#pragma once
#include <cmath>

#include "padded.h"

namespace dmx::DMX_ISA {

constexpr double tiny = 1e-36;    // least square of a norm that is divided by
constexpr double unseen = 1e-7;   // norms below this share of the largest drown in the rounding
                                  // of the Gram matrix
constexpr double eps = 0x1p-52;

// What a matrix occupies: tiles take six rows at least.
struct Shape {
  int n, ld, rows, size;
  explicit Shape(int n)
      : n(n), ld((n + LD - 1) / LD * LD), rows(n < 6 ? 6 : n), size(rows * ld) {}

  void load(const double* from, double* to) const {
    for (int i = 0; i < n; i++) {
      std::memcpy(to + i * ld, from + i * n, sizeof(double) * n);
      for (int j = n; j < ld; j++) to[i * ld + j] = 0;
    }
    clear_rest(to);
  }
  // Its transpose times a factor.
  void load_transpose(const double* from, double factor, double* to) const {
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) to[i * ld + j] = factor * from[j * n + i];
      for (int j = n; j < ld; j++) to[i * ld + j] = 0;
    }
    clear_rest(to);
  }
  void store(const double* from, double* to) const {
    for (int i = 0; i < n; i++) std::memcpy(to + i * n, from + i * ld, sizeof(double) * n);
  }
  void clear_rest(double* M) const {
    for (int e = n * ld; e < size; e++) M[e] = 0;
  }
};

// f(v) for every vector of the matrices.
template <class F> DMX_INLINE void vectors(const Shape& s, F&& f) {
  for (int e = 0; e < s.size; e += LD) f(e);
}
DMX_INLINE Vd& at(double* M, int e) { return *(Vd*)(M + e); }
DMX_INLINE Vd at(const double* M, int e) { return *(const Vd*)(M + e); }

// f(start, add, finish) of `panels`, for C = A B.
template <class F>
DMX_INLINE void product(const Shape& s, const double* A, const double* B, double* C, F&& f) {
  f([](int, int) DMX_LAMBDA { return Vd{}; },
    [&](auto& c, int i, int j) DMX_LAMBDA {
      accumulate_rows(c, A + i * s.ld, s.ld, B + j, s.ld, s.n);
    },
    [&](int i, int j, Vd c) DMX_LAMBDA { at(C, i * s.ld + j) = c; });
}

// C = A B
inline void multiply(const Shape& s, const double* A, const double* B, double* C) {
  product(s, A, B, C, [&](auto&& start, auto&& add, auto&& finish) DMX_LAMBDA {
    panels<Vd>(s.rows, s.ld / LD, start, add, finish);
  });
}

// The blocks below the diagonal from those above it.
inline void mirror(const Shape& s, double* C) {
  for (int i = 0; i + LD <= s.n; i += LD)
    for (int j = i + LD; j < s.n; j += LD) {
      Vd block[LD];
      for (int q = 0; q < LD; q++) block[q] = at(C, (i + q) * s.ld + j);
      transpose(block);
      for (int q = 0; q < LD && j + q < s.n; q++) at(C, (j + q) * s.ld + i) = block[q];
    }
}

// C = A B where that is symmetric: little more than half of it is computed.
inline void multiply_symmetric(const Shape& s, const double* A, const double* B, double* C) {
  constexpr int wide = 2 * LD;
  if (s.n <= 2 * wide) return multiply(s, A, B, C);  // measured
  product(s, A, B, C, [&](auto&& start, auto&& add, auto&& finish) DMX_LAMBDA {
    int j = 0;
    for (; j + wide <= s.ld; j += wide) {
      const int below = std::max(6, j + wide);
      panel<Vd, 2>(below < s.rows ? below : s.rows, j, start, add, finish);
    }
    if (j < s.ld) panel<Vd, 1>(s.rows, j, start, add, finish);
  });
  mirror(s, C);
}

inline double inner(const Shape& s, const double* A, const double* B) {
  Vd sum[4] = {};
  int e = 0;
  for (; e + 4 * LD <= s.size; e += 4 * LD)
    unrolled<4>([&](auto q) DMX_LAMBDA { sum[q] += at(A, e + q * LD) * at(B, e + q * LD); });
  for (; e < s.size; e += LD) sum[0] += at(A, e) * at(B, e);
  return across((sum[0] + sum[1]) + (sum[2] + sum[3]));
}
inline double trace(const Shape& s, const double* A) {
  double sum = 0;
  for (int i = 0; i < s.n; i++) sum += A[i * (s.ld + 1)];
  return sum;
}

// Inner products of I, R and R^2: (3, 3).
inline void inner_products(const Shape& shape, const double* R, const double* square, double* gram) {
  gram[0] = shape.n;
  gram[1] = gram[3] = trace(shape, R);
  gram[4] = inner(shape, R, R);
  gram[2] = gram[6] = trace(shape, square);
  gram[5] = gram[7] = inner(shape, R, square);
  gram[8] = inner(shape, square, square);
}

// C = c[0] I + sum_i c[i + 1] M[i], up to four at a time
template <int count>
DMX_INLINE void add_some(const Shape& s, const double* c, const double* const* M, bool first,
                         double* C) {
  vectors(s, [&](int e) DMX_LAMBDA {
    Vd sum = first ? Vd{} : at(C, e);
    unrolled<count>([&](auto q) DMX_LAMBDA { sum += c[q] * at(M[q], e); });
    at(C, e) = sum;
  });
}
inline void combine(const Shape& s, double identity, int count, const double* c,
                    const double* const* M, double* C) {
  for (int q = 0; q < count || !q; q += 4) {
    const auto some = [&](auto k) { add_some<decltype(k)::value>(s, c + q, M + q, !q, C); };
    switch (count - q) {
      case 0: some(std::integral_constant<int, 0>{}); break;
      case 1: some(std::integral_constant<int, 1>{}); break;
      case 2: some(std::integral_constant<int, 2>{}); break;
      case 3: some(std::integral_constant<int, 3>{}); break;
      default: some(std::integral_constant<int, 4>{});
    }
  }
  for (int i = 0; i < s.n; i++) C[i * (s.ld + 1)] += identity;
}

// Coefficients in I, R, R^2, S, U V and R P.
constexpr int slots = 6;
typedef double Coefficients __attribute__((vector_size(64)));

class Moments {
  const Shape& shape;
  double* const* const matrices;  // of the slots but the first, and two combinations
  Coefficients gram[slots] = {};
  int used = 1;

 public:
  static constexpr int room = slots + 1;
  Moments(const Shape& shape, double* const* matrices) : shape(shape), matrices(matrices) {
    gram[0][0] = shape.n;
  }

  static Coefficients unit(int i) {
    Coefficients c{};
    c[i] = 1;
    return c;
  }
  // The place of the next matrix, and its coefficients once it is there.
  double* next() const { return matrices[used - 1]; }
  Coefficients measured() {
    const double* M = next();
    gram[0][used] = gram[used][0] = trace(shape, M);
    for (int i = 1; i <= used; i++)
      gram[i][used] = gram[used][i] = DMX_ISA::inner(shape, matrices[i - 1], M);
    return unit(used++);
  }
  // The same, where the inner products with those before it and itself are known.
  Coefficients known(const double* row) {
    for (int i = 0; i <= used; i++) gram[i][used] = gram[used][i] = row[i];
    return unit(used++);
  }

  // A combination: one of the matrices, or one of two that are formed.
  const double* matrix(Coefficients c, int place) const {
    double* to = matrices[slots - 1 + place];
    double held[slots];
    const double* M[slots];
    int count = 0;
    for (int i = 1; i < used; i++)
      if (c[i] != 0) held[count] = c[i], M[count++] = matrices[i - 1];
    if (count == 1 && held[0] == 1 && c[0] == 0) return M[0];
    combine(shape, c[0], count, held, M, to);
    return to;
  }

  Coefficients product(Coefficients a, Coefficients b) {
    multiply_symmetric(shape, matrix(a, 0), matrix(b, 1), next());
    return measured();
  }

  double inner(Coefficients a, Coefficients b) const {
    Coefficients image{};
    for (int i = 0; i < slots; i++) image += b[i] * gram[i];
    image *= a;
    double sum = 0;
    for (int i = 0; i < slots; i++) sum += image[i];
    return sum;
  }
  double norm(Coefficients a) const { return std::sqrt(std::fmax(inner(a, a), tiny)); }
  // The norm, or what cannot be told from zero.
  double seen(Coefficients a) const { return std::fmax(norm(a), unseen * norm(unit(1))); }
};

}  // namespace
