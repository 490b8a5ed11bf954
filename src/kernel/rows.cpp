// Orders 17 to 64: candidates batch last in float32, then one matrix at a time, rows in registers.
//
// The steps and bounds are those of series.h. What is proven of LF matrices is put into lanes only
// at the end, for the bounds.
#include "rows.h"

#include <memory>

#include "again.h"
#include "batch.h"
#include "padded.h"
#include "propose_any.h"
#include "series.h"

namespace dmx::DMX_ISA {
namespace {

// LF matrices: candidates in lanes, and what the bounds need of each.
struct Group {
  alignas(64) Vf candidates[most * most], room[halving_room(most)];
  alignas(64) float B_sum[LF], R_sum[LF], X0_sum[LF];
  alignas(64) double rest_product[LF], d_sum[LF], scale[LF];
  alignas(64) int64_t in_range[LF], deep[LF];
  uint8_t known[LF];
  Work work;
};

// Scale and norm of lane l.
void measure(Group& g, int n, const double* A, int l) {
  const int N = n * n;
  Vd tops{};
  int e = 0;
  for (; e + LD <= N; e += LD) tops = larger(absolute(*(const Vd_any*)(A + e)), tops);
  double top = highest(tops);
  for (; e < N; e++) top = std::fabs(A[e]) > top ? std::fabs(A[e]) : top;
  g.in_range[l] = top >= 0x1p-900 && top <= 0x1p900 ? -1 : 0;
  g.known[l] = usual_magnitude(splat(top))[0] ? plain : 0;
  g.scale[l] = g.in_range[l] ? std::ldexp(1.0, -std::ilogb(top)) : 0.0;
}

// -B1 and -B2, and B in float32 in w.S, padded.
void split(Work& w, const double* A, double scale) {
  const double shift = splits.of[w.n].shift;
  for (int i = 0; i < w.n; i++) {
    double *B1 = w.B1 + i * w.ld, *B2 = w.B2 + i * w.ld;
    float* S = w.S + i * w.lf;
    for (int j = 0; j < w.n; j++) {
      const double b = A[i * w.n + j] * scale, first = (b + shift) - shift;
      B1[j] = -first;
      B2[j] = first - b;
      S[j] = (float)b;
    }
    for (int j = w.n; j < w.ld; j++) B2[j] = 0;
    for (int j = w.n; j < w.lf; j++) S[j] = 0;
  }
}

// What of its state a matrix's entries say, scaled and in float32 at w.S: as batch.cpp's `survey`.
uint8_t survey(const Work& w, uint8_t known) {
  const If before_end = [&] {
    If places;
    for (int l = 0; l < LF; l++) places[l] = l + w.lf - LF < w.n ? -1 : 0;
    return places;
  }();
  Vf columns[most / LF] = {}, entry = splat(-2.0f), low = entry;
  for (int i = 0; i < w.n; i++) {
    const float* S = w.S + i * w.lf;
    Vf row{};
    for (int v = 0; v < w.lf / LF; v++) {
      const Vf a = absolute(*(const Vf*)(S + v * LF));
      row = larger(a, row);
      columns[v] = larger(a, columns[v]);
      entry = larger(v < w.lf / LF - 1 ? -a : before_end ? -a : splat(-2.0f), entry);
    }
    low = larger(splat(-highest(row)), low);
  }
  Vf top{};
  for (int v = 0; v < w.lf / LF; v++) {
    top = larger(columns[v], top);
    low = larger(v < w.lf / LF - 1 ? -columns[v] : before_end ? -columns[v] : splat(-2.0f), low);
  }
  if (!(highest(low) * -even_lines > highest(top))) known = 0;
  return known | (highest(entry) > -0x1p-100f ? sparse : 0);
}

// LF matrices into lanes, in float32; copies of the first where there are fewer.
void into_lanes(Group& g, int n, const double* A, int count) {
  const double* a[LF];
  Vd scale[2];
  for (int l = 0; l < LF; l++) {
    a[l] = A + (l < count ? l : 0) * n * n;
    scale[l / LD][l % LD] = g.scale[l < count ? l : 0];
  }
  for (int e = 0; e < n * n; e++) {
    Vd b[2];
    for (int l = 0; l < LF; l++) b[l / LD][l % LD] = a[l][e];
    g.candidates[e] = narrowed(b[0] * scale[0], b[1] * scale[1]);
  }
}

// Floats from one candidate to the next at g.room: no power of two, whose lines would all compete
// for the same places of the cache.
DMX_INLINE int candidate_size(const Work& w) { return w.n * w.lf + LF; }

// The candidates in lanes, one after the other in padded rows at g.room.
void out_of_lanes(Group& g) {
  const int n = g.work.n, lf = g.work.lf;
  float* to = (float*)g.room;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < lf; j++) {
      const Vf x = j < n ? g.candidates[i * n + j] : Vf{};
      for (int l = 0; l < LF; l++) to[l * candidate_size(g.work) + i * lf + j] = x[l];
    }
}

// The candidate at X after a Newton step in float32, in padded rows.
const float* given(Group& g, const double* X, double scale) {
  const Work& w = g.work;
  const int n = w.n, lf = w.lf, size = candidate_size(w);
  float *const Y = (float*)g.room, *const R = Y + size, *const to = R + size;
  for (int i = 0; i < n; i++) {
    for (int j = 0; j < n; j++) Y[i * lf + j] = (float)(X[i * n + j] / scale);
    for (int j = n; j < lf; j++) Y[i * lf + j] = 0;
  }
  const auto multiply = [&](const float* A, const float* B, auto&& finish) {
    panels<Vf>(n, lf / LF, [](int, int) DMX_LAMBDA { return Vf{}; },
               [&](auto& c, int i, int j) DMX_LAMBDA {
                 accumulate_rows(c, A + i * lf, lf, B + j, lf, n);
               },
               [&](int i, int j, Vf c) DMX_LAMBDA { finish(i * lf + j, c); });
  };
  multiply(w.S, Y, [&](int e, Vf c) DMX_LAMBDA { *(Vf*)(R + e) = -c; });
  for (int i = 0; i < n; i++) R[i * (lf + 1)] += 1;
  multiply(Y, R, [&](int e, Vf c) DMX_LAMBDA { *(Vf*)(to + e) = *(const Vf*)(Y + e) + c; });
  return to;
}

// The candidate in padded rows at S, quantised.
void quantise(Work& w, const float* S) {
  const int n = w.n, ld = w.ld, lf = w.lf;
  Vf tops{};
  for (int e = 0; e < n * lf; e += LF) tops = larger(absolute(*(const Vf*)(S + e)), tops);
  float top = 0;
  for (int l = 0; l < LF; l++) top = tops[l] > top ? tops[l] : top;
  const Vf shift = candidate_shift(n, splat(top));
  for (int i = 0; i < n; i++)
    for (int j = 0; j < ld; j += LF) {
      Vf x = *(const Vf*)(S + i * lf + j);
      x = (x + shift) - shift;
      *(Vd*)(w.X0 + i * ld + j) = widened(half<0>(x));
      if (j + LD < ld) *(Vd*)(w.X0 + i * ld + j + LD) = widened(half<1>(x));
    }
}

// The order that `source` gives to the columns of w.S.
void permute_columns(Work& w, const int* source) {
  for (int i = 0; i < w.n; i++) {
    float row[most], *S = w.S + i * w.lf;
    std::memcpy(row, S, sizeof(float) * w.n);
    for (int j = 0; j < w.n; j++) S[j] = row[source[j]];
  }
}

void residual(Work& w) {
  const int ld = w.ld;
  panels<Vd>(w.n, ld / LD, [](int i, int j) DMX_LAMBDA { return unit.at(i, j); },
             [&](auto& c, int i, int j) DMX_LAMBDA {
               accumulate_rows(c, w.B1 + i * ld, ld, w.X0 + j, ld, w.n);
               accumulate_blocks(c, w.B2 + i * ld, ld, w.X0 + j, ld, w.n);
             },
             [&](int i, int j, Vd c) DMX_LAMBDA { *(Vd*)(w.R + i * ld + j) = c; });
}

// Y = R + R^2 + R^2 (R + R^2) to w.B2, the last product in float32; deep: and R^4 (R + R^2).
void series(Work& w, bool deep) {
  const int ld = w.ld, lf = w.lf;
  const auto zero = [](int, int) DMX_LAMBDA { return Vd{}; };
  panels<Vd>(w.n, ld / LD, zero,
             [&](auto& c, int i, int j) DMX_LAMBDA {
               accumulate_rows(c, w.R + i * ld, ld, w.R + j, ld, w.n);
             },
             [&](int i, int j, Vd c) DMX_LAMBDA {
               const Vd sum = *(const Vd*)(w.R + i * ld + j) + c;
               *(Vd*)(w.B1 + i * ld + j) = sum;
               *(Vd*)(w.B2 + i * ld + j) = c;
               narrow_to(w.S + i * lf + j, c);
               narrow_to(w.Y + i * lf + j, sum);
             });
  if (deep)
    panels<Vd>(w.n, ld / LD, zero,
               [&](auto& c, int i, int j) DMX_LAMBDA {
                 accumulate_rows(c, w.B2 + i * ld, ld, w.B1 + j, ld, w.n);
               },
               [&](int i, int j, Vd c) DMX_LAMBDA {
                 *(Vd*)(w.R + i * ld + j) = *(const Vd*)(w.B1 + i * ld + j) + c;
                 narrow_to(w.Y + i * lf + j, c);
               });
  const double* base = deep ? w.R : w.B1;
  panels<Vf>(w.n, lf / LF, [](int, int) DMX_LAMBDA { return Vf{}; },
             [&](auto& c, int i, int j) DMX_LAMBDA {
               accumulate_rows(c, w.S + i * lf, lf, w.Y + j, lf, w.n);
             },
             [&](int i, int j, Vf c) DMX_LAMBDA {
               const double* from = base + i * ld + j;
               double* to = w.B2 + i * ld + j;
               *(Vd*)to = *(const Vd*)from + widened(half<0>(c));
               if (j + LD < ld) *(Vd*)(to + LD) = *(const Vd*)(from + LD) + widened(half<1>(c));
             });
}

// X0 + X0 Y and its rounding errors
void correct(Work& w, double scale, double* X) {
  const int n = w.n, ld = w.ld;
  panels<Vd>(n, ld / LD, [](int, int) DMX_LAMBDA { return Vd{}; },
             [&](auto& c, int i, int j) DMX_LAMBDA {
               accumulate_blocks(c, w.X0 + i * ld, ld, w.B2 + j, ld, n);
             },
             [&](int i, int j, Vd c) DMX_LAMBDA {
               keep(c);
               const Vd x0 = *(const Vd*)(w.X0 + i * ld + j), x1 = x0 + c, d = c - (x1 - x0);
               *(Vd*)(w.R + i * ld + j) = d;
               *(Vd*)(w.B1 + i * ld + j) = x1 * scale;
             });
  for (int i = 0; i < n; i++) std::memcpy(X + i * n, w.B1 + i * ld, sizeof(double) * n);
}

void invert_group(Group& g, int n, Method method, const double* A, const Results& to, long first,
                  int count) {
  Work& w = g.work;
  const int N = n * n;
  w.n = n, w.ld = (n + LD - 1) / LD * LD, w.lf = (n + LF - 1) / LF * LF;
  std::memset(w.Y, 0, sizeof(float) * n * w.lf);
  for (int l = 0; l < count; l++) measure(g, n, A + l * N, l);
  if (method == Method::network) {
    into_lanes(g, n, A, count);
    propose_halving(n, g.candidates, g.room);
    out_of_lanes(g);
  }
  for (int l = count; l < LF; l++) {
    g.in_range[l] = g.deep[l] = 0, g.scale[l] = 1;
    g.B_sum[l] = g.R_sum[l] = g.X0_sum[l] = 1, g.rest_product[l] = g.d_sum[l] = 0;
  }
  for (int l = 0; l < count; l++) {
    split(w, A + l * N, g.scale[l]);
    g.known[l] = survey(w, g.known[l]);
    g.B_sum[l] = (float)largest_row_sum(n, w.lf, w.S);
    if (method == Method::network) {
      quantise(w, (const float*)g.room + l * candidate_size(w));
    } else if (method == Method::given) {
      quantise(w, given(g, to.X + (first + l) * N, g.scale[l]));
    } else {
      int source[most];
      eliminate_rows(n, w.lf, w.S, source);
      permute_columns(w, source);
      quantise(w, w.S);
    }
    g.X0_sum[l] = (float)row_sums(n, w.ld, w.X0, w.sums);
    g.rest_product[l] = largest_product_sum(n, w.ld, w.B2, w.sums);
    residual(w);
    const double R_sum = largest_row_sum(n, w.ld, w.R);
    g.R_sum[l] = (float)R_sum;
    g.deep[l] = goes_deep(R_sum) ? -1 : 0;
    series(w, goes_deep(R_sum));
    correct(w, g.scale[l], to.X + (first + l) * N);
    g.d_sum[l] = largest_row_sum(n, w.ld, w.R);
  }
  for (int l = 0; l < count; l += LD) {
    Vh sums[3];
    std::memcpy(&sums[0], g.B_sum + l, sizeof(Vh));
    std::memcpy(&sums[1], g.R_sum + l, sizeof(Vh));
    std::memcpy(&sums[2], g.X0_sum + l, sizeof(Vh));
    const Bounds b = bounds(n, in_blocks(n), sums[0], sums[1], sums[2],
                            *(const Vd*)(g.rest_product + l), *(const Vd*)(g.d_sum + l),
                            *(const Vd*)(g.scale + l), *(const Id*)(g.in_range + l),
                            *(const Id*)(g.deep + l));
    for (int q = 0; q < LD && l + q < count; q++) {
      const long k = first + l + q;
      to.error[k] = b.error[q];
      to.residual[k] = b.residual[q];
      to.relative[k] = b.relative[q];
      to.state[k] = g.known[l + q] | (b.finished[q] ? finished : 0);
    }
  }
  for (int l = 0; l < count; l++)
    if (!(to.state[first + l] & finished) && to.relative[first + l] < 0x1p-20)
      invert_again(w, A + l * N, g.scale[l], g.B_sum[l], to, first + l);
}

}  // namespace

void invert_rows(int n, Method method, const double* A, Results to, long count) {
  thread_local const std::unique_ptr<Group> group(new Group);  // 1.6 MB, kept and not cleared
  for (long k = 0; k < count; k += LF)
    invert_group(*group, n, method, A + k * n * n, to, k, (int)(count - k < LF ? count - k : LF));
}

}  // namespace dmx::DMX_ISA
