// Solutions of A Y = B by inverses X that are proven: corrected until the last rounding is what is
// left, and bounded.
//
// Compiled without contraction: two-sums and two-products are exact only as they are written.
//
// Notation of series.h: u = 2^-53, |.| entrywise, ||.|| the infinity norm; of a vector, its largest
// modulus. A lane has one column b, one matrix A and its X, ||A^-1 - X|| <= E. The solution is held
// in two doubles, z = h + l, from h = fl(X b), l = 0, so |l| <= u |h|.
//
// 1. r is close to r0 = b - A h - A l: s starts at b and takes off one product after the other, each
//    product and sum split without error, the errors and A l summed apart to c, r = fl(s + c). With
//    M = ||b|| + ||A|| ||h|| the errors of the sums are n u M 1.01 in all, those of the products
//    u M, A l at most 1.01 u M, and c takes 4n operations on them, so, with 2^-1000 for underflow,
//
//        ||r0 - r|| <= D = u ||r|| + 4.2 (n + 2)^2 u^2 M + 2^-1000                               (1)
//
// 2. d = fl(X r) is off by G ||X|| ||r||, G = 1.01 (n + 2) u, and A^-1 b = z + A^-1 r0, so
//
//        ||A^-1 b - z - d|| <= g = E (||r|| + D) + ||X|| (D + G ||r||) + 2^-1000                 (2)
//
// 3. m = fl(l + d) is off by u |m|; h' = fl(h + m), and l' = h + m - h' exactly by a two-sum:
//
//        ||A^-1 b - h'|| <= ||l'|| + 1.01 u ||m|| + g                                            (3)
//
//    whose second and third term are `rest`. h' + l' is the next z.
//
// Range: largest entries of A and b between 2^-400 and 2^400, b = 0 apart, and E < 2^-10 ||X||, so
// ||X|| < 2^460 and nothing overflows. A column whose `rest` stays above 2^-56 of it, and what else
// does not fit, gets the bound inf: for more careful code. So do matrices of uneven rows or columns,
// whose solutions deserve to be refined in better units.
//
// The lanes are LD systems, or LD columns of one system. The operations are the same, and so are
// the bits.
#include "solve.h"

#include <memory>

#include "exact.h"
#include "lanes.h"

namespace dmx::DMX_ISA {
namespace {

constexpr int most = largest_order, rounds = 8;
constexpr double enough = 0x1p-58, most_rest = 0x1p-56;  // of the solution: when rest is small

// w = M v
template <class Matrix> DMX_INLINE void multiply(int n, Matrix M, const Vd* v, Vd* w) {
  rows(n, [&](auto T, int i0) DMX_LAMBDA {
    Vd sum[T] = {};
    for (int k = 0; k < n; k++) {
      const Vd x = v[k];
      unrolled<T>([&](auto i) DMX_LAMBDA { sum[i] = fused(M[(i0 + i) * n + k], x, sum[i]); });
    }
    unrolled<T>([&](auto i) DMX_LAMBDA { w[i0 + i] = sum[i]; });
  });
}

// r = b - A h - A l by step 1
template <class Matrix>
DMX_INLINE void residual(int n, Matrix A, const Vd* b, const Vd* h, const Vd* l, Vd* r) {
  rows(n, [&](auto T, int i0) DMX_LAMBDA {
    Vd s[T], c[T] = {};
    unrolled<T>([&](auto i) DMX_LAMBDA { s[i] = b[i0 + i]; });
    for (int k = 0; k < n; k++) {
      const Vd x = h[k], y = l[k];
      unrolled<T>([&](auto i) DMX_LAMBDA {
        const Vd a = A[(i0 + i) * n + k];
        Vd p, e, t, q;
        two_product(a, x, p, e);
        two_sum(s[i], -p, t, q);
        s[i] = t;
        c[i] = fused(-a, y, c[i] + (q - e));
      });
    }
    unrolled<T>([&](auto i) DMX_LAMBDA { r[i0 + i] = s[i] + c[i]; });
  });
}

// What all columns of a system share: at least ||A|| and ||X||, E, and whether A fits.
template <class Matrix> struct System {
  int n;
  Matrix A, X;
  Vd a, x, E;
  Id fits;

  DMX_INLINE System(int n, Matrix A, Matrix X, Vd error)
      : n(n), A(A), X(X), a(norm(n, A)), x(norm(n, X)), E(error),
        fits(is_plain(n, A) & (E < 0x1p-10 * x)) {}

  // The solution for b, and its bound.
  DMX_INLINE Vd solve(const Vd* b, Vd* h) const {
    const double raise = 1 + (4 * n + 64) * U, G = 1.01 * (n + 2) * U,
                 H = 4.2 * (n + 2) * (n + 2) * U * U;
    Vd l[most], r[most], d[most], next[most], left[most];
    const Vd size = largest_modulus(n, b);
    multiply(n, X, b, h);
    for (int i = 0; i < n; i++) l[i] = Vd{};
    Vd bound = splat(infinite), rest = bound;
    Id going = fits & usual_magnitude(size);
    for (int round = 0; round < rounds; round++) {
      residual(n, A, b, h, l, r);
      const Vd of_r = largest_modulus(n, r), M = size + a * largest_modulus(n, h);
      const Vd D = U * of_r + H * M + 0x1p-1000;
      const Vd g = E * (of_r + D) + x * (D + G * of_r) + 0x1p-1000;
      multiply(n, X, r, d);
      Vd of_m{}, of_left{}, top{};
      for (int i = 0; i < n; i++) {
        const Vd m = l[i] + d[i];
        two_sum(h[i], m, next[i], left[i]);
        of_m = larger(absolute(m), of_m);
        of_left = larger(absolute(left[i]), of_left);
        top = larger(absolute(next[i]), top);
      }
      const Vd now = g + 1.01 * U * of_m;
      going &= now < 0.5 * rest;  // false for NaN, which whatever is not finite makes of g
      for (int i = 0; i < n; i++) {
        h[i] = chosen(going, next[i], h[i]);
        l[i] = chosen(going, left[i], l[i]);
      }
      rest = chosen(going, now, rest);
      bound = chosen(going, now <= most_rest * top ? (of_left + now) * raise + (n + 1) * 0x1p-1074
                                                 : splat(infinite), bound);
      going &= now > enough * top;
      if (none(going)) break;
    }
    return fits & (size == 0.0) ? Vd{} : bound;
  }
};

// LD columns of one system at a time.
void solve_one(const Systems& s, long k) {
  const int n = s.n, p = s.p;
  const double *A = s.A + k * s.A_step, *X = s.X + k * s.A_step, *B = s.B + k * s.B_step;
  const System<OfOne> system(n, {A}, {X}, splat(s.error[s.A_step ? k : 0]));
  for (int first = 0; first < p; first += LD) {
    const int m = p - first < LD ? p - first : LD;
    Vd b[most], y[most];
    for (int i = 0; i < n; i++) {
      b[i] = Vd{};
      std::memcpy(&b[i], B + i * p + first, sizeof(double) * m);
    }
    const Vd bound = system.solve(b, y);
    for (int i = 0; i < n; i++)
      std::memcpy(s.Y + (k * n + i) * p + first, &y[i], sizeof(double) * m);
    std::memcpy(s.bound + k * p + first, &bound, sizeof(double) * m);
  }
}

// A column of LD systems at a time; `count` of them.
void solve_many(const Systems& s, long first, int count, Vd* room) {
  const int n = s.n, p = s.p, N = n * n;
  const double *A[LD], *X[LD], *B[LD];
  Vd error;
  for (int l = 0; l < LD; l++) {
    const long k = first + (l < count ? l : 0);
    A[l] = s.A + k * s.A_step, X[l] = s.X + k * s.A_step, B[l] = s.B + k * s.B_step;
    error[l] = s.error[s.A_step ? k : 0];
  }
  into_lanes(N, A, room);
  into_lanes(N, X, room + N);
  const System<OfMany> system(n, {room}, {room + N}, error);
  for (int c = 0; c < p; c++) {
    Vd b[most], y[most];
    for (int i = 0; i < n; i++)
      for (int l = 0; l < LD; l++) b[i][l] = B[l][i * p + c];
    const Vd bound = system.solve(b, y);
    for (int l = 0; l < count; l++) {
      for (int i = 0; i < n; i++) s.Y[((first + l) * n + i) * p + c] = y[i][l];
      s.bound[(first + l) * p + c] = bound[l];
    }
  }
}

}  // namespace

void solve_systems(const Systems& s, long first, long last) {
  long k = first;
  if (s.p <= LD / 2 && last - first > 1) {
    const std::unique_ptr<Vd[]> room(new Vd[2 * s.n * s.n]);
    for (; k < last; k += LD) solve_many(s, k, (int)(last - k < LD ? last - k : LD), room.get());
  }
  for (; k < last; k++) solve_one(s, k);
}

}  // namespace dmx::DMX_ISA
