// Rows go in fours: what is read along with them, or written, is read and written once for all.
//
// Compiled without contraction, for the sake of `doubled_product`.
#include "passes.h"

#include <vector>

#include "exact.h"

namespace dmx::DMX_ISA {
namespace {

constexpr int four = 4;

DMX_INLINE Vd at(const double* p) { return *(const Vd_any*)p; }

DMX_INLINE double across(Vd a) {
  double s = 0;
  for (int l = 0; l < LD; l++) s += a[l];
  return s;
}

// f(T, i) for T rows from i on, T a constant.
template <class F> DMX_INLINE void rows_of(long n, F&& f) {
  long i = 0;
  for (; i + four <= n; i += four) f(std::integral_constant<int, four>{}, i);
  for (; i < n; i++) f(std::integral_constant<int, 1>{}, i);
}

// out = A V, or |A| V, for M of the columns, given as rows.
template <bool of_moduli, int M>
DMX_INLINE void some_columns(long n, long m, const double* A, const double* V, double* out) {
  rows_of(n, [&](auto T, long i) DMX_LAMBDA {
    Vd sums[T][M] = {};
    double rest[T][M] = {};
    const double* row = A + i * n;
    long j = 0;
    for (; j + LD <= n; j += LD) {
      Vd v[M];
      unrolled<M>([&](auto c) DMX_LAMBDA { v[c] = at(V + c * n + j); });
      unrolled<T>([&](auto t) DMX_LAMBDA {
        const Vd entry = at(row + t * n + j), a = of_moduli ? absolute(entry) : entry;
        unrolled<M>([&](auto c) DMX_LAMBDA { sums[t][c] = fused(a, v[c], sums[t][c]); });
      });
    }
    for (; j < n; j++)
      for (int t = 0; t < T; t++) {
        const double entry = row[t * n + j], a = of_moduli ? std::fabs(entry) : entry;
        for (int c = 0; c < M; c++) rest[t][c] += a * V[c * n + j];
      }
    for (int t = 0; t < T; t++)
      for (int c = 0; c < M; c++) out[(i + t) * m + c] = across(sums[t][c]) + rest[t][c];
  });
}

template <bool of_moduli>
void few_columns(long n, long m, const double* A, const double* V, double* out) {
  std::vector<double> columns(n * m);
  for (long j = 0; j < n; j++)
    for (long c = 0; c < m; c++) columns[c * n + j] = V[j * m + c];
  long c = 0;
  for (; c + four <= m; c += four) some_columns<of_moduli, four>(n, m, A, &columns[c * n], out + c);
  for (; c + 2 <= m; c += 2) some_columns<of_moduli, 2>(n, m, A, &columns[c * n], out + c);
  for (; c < m; c++) some_columns<of_moduli, 1>(n, m, A, &columns[c * n], out + c);
}

}  // namespace

void products(long n, long m, const double* A, const double* V, double* out) {
  few_columns<false>(n, m, A, V, out);
}
void moduli(long n, long m, const double* A, const double* V, double* out) {
  few_columns<true>(n, m, A, V, out);
}

void squares(long n, const double* A, const double* v, double* rows, double* columns) {
  std::memset(columns, 0, sizeof(double) * n);
  rows_of(n, [&](auto T, long i) DMX_LAMBDA {
    Vd sums[T] = {};
    double rest[T] = {};
    const double* row = A + i * n;
    long j = 0;
    for (; j + LD <= n; j += LD) {
      const Vd weight = at(v + j);
      Vd column = at((const double*)columns + j);
      unrolled<T>([&](auto t) DMX_LAMBDA {
        const Vd a = at(row + t * n + j), square = a * a;
        sums[t] = fused(square, weight, sums[t]);
        column += square;
      });
      *(Vd_any*)(columns + j) = column;
    }
    for (; j < n; j++)
      for (int t = 0; t < T; t++) {
        const double square = row[t * n + j] * row[t * n + j];
        rest[t] += square * v[j], columns[j] += square;
      }
    for (int t = 0; t < T; t++) rows[i + t] = across(sums[t]) + rest[t];
  });
}

namespace {

template <class V> DMX_INLINE void add_product(V x, V a, V& high, V& low) {
  V p, e, s, t;
  two_product(x, a, p, e);
  two_sum(high, p, s, t);
  high = s, low += e + t;
}

}  // namespace

void doubled_product(long n, const double* x, const double* y, const double* A, double* high,
                     double* low) {
  std::memset(high, 0, sizeof(double) * n);
  std::memset(low, 0, sizeof(double) * n);
  rows_of(n, [&](auto T, long i) DMX_LAMBDA {
    const double* row = A + i * n;
    long j = 0;
    for (; j + LD <= n; j += LD) {
      Vd h = at((const double*)high + j), l = at((const double*)low + j);
      unrolled<T>([&](auto t) DMX_LAMBDA {
        const Vd a = at(row + t * n + j);
        add_product(splat(x[i + t]), a, h, l);
        l = fused(splat(y[i + t]), a, l);
      });
      *(Vd_any*)(high + j) = h, *(Vd_any*)(low + j) = l;
    }
    for (; j < n; j++)
      for (int t = 0; t < T; t++) {
        const double a = row[t * n + j];
        add_product(x[i + t], a, high[j], low[j]);
        low[j] += y[i + t] * a;
      }
  });
}

}  // namespace dmx::DMX_ISA
