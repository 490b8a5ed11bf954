// Inverses in float64 without proofs, by recursion on halves: linalg/halving.py's, in cache.
//
// Halves are of whole vectors, but for the last; what pads rows meets nothing but padding.
#include "halving.h"

#include <memory>

#include "eliminate.h"
#include "padded.h"

namespace dmx::DMX_ISA {
namespace {

constexpr int leaf = 32;  // measured: twice the order takes four times as long, products eight

// Doubles from row to row where there are so many: whole vectors, and not a power of two.
constexpr int padded(int columns) { return (columns + LD - 1) / LD * LD + LD; }
constexpr int side = padded(largest_halved);

struct Space {
  alignas(64) double A[largest_halved * side], X[largest_halved * side];
  alignas(64) double room[2 * largest_halved * side + 64 * side];
};

void eliminate(int n, const double* A, int a, double* X, int x) {
  alignas(64) double M[leaf * leaf];
  int source[largest_order];
  const int ld = (n + LD - 1) / LD * LD;
  for (int i = 0; i < n; i++) std::memcpy(M + i * ld, A + i * a, sizeof(double) * ld);
  eliminate_rows<Vd>(n, ld, M, source);
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) X[i * x + j] = M[i * ld + source[j]];
}

// finish(i, j, C) for vectors of C = A X, A of `rows` and X of `columns`.
template <class Finish>
DMX_INLINE void multiply(int rows, int columns, int inner, const double* A, int a, const double* X,
                         int x, Finish&& finish) {
  panels<Vd>(rows, (columns + LD - 1) / LD, [](int, int) DMX_LAMBDA { return Vd{}; },
             [&](auto& c, int i, int j) DMX_LAMBDA {
               accumulate_rows(c, A + i * a, a, X + j, x, inner);
             },
             finish);
}

void halve(int n, const double* A, int a, double* X, int x, double* room) {
  if (n <= leaf) return eliminate(n, A, a, X, x);
  const int h = (n / 2 + LD - 1) / LD * LD, m = n - h, ld = padded(h > m ? h : m);
  double *P = room, *PB = P + h * ld, *S = PB + h * ld, *rest = S + (h > m ? h : m) * ld;
  const double *B = A + h, *C = A + h * a;
  double *right = X + h, *below = X + h * x, *Q = below + h, *CP = S;
  const auto at = [](double* M, int i) DMX_LAMBDA -> Vd& { return *(Vd*)(M + i); };
  halve(h, A, a, P, ld, rest);
  multiply(h, m, h, P, ld, B, a,
           [&](int i, int j, Vd c) DMX_LAMBDA { at(PB, i * ld + j) = c; });
  multiply(m, m, h, C, a, PB, ld, [&](int i, int j, Vd c) DMX_LAMBDA {
    at(S, i * ld + j) = *(const Vd*)(C + h + i * a + j) - c;
  });
  halve(m, S, ld, Q, x, rest);
  multiply(h, m, m, PB, ld, Q, x,
           [&](int i, int j, Vd c) DMX_LAMBDA { at(right, i * x + j) = -c; });
  multiply(m, h, h, C, a, P, ld,
           [&](int i, int j, Vd c) DMX_LAMBDA { at(CP, i * ld + j) = c; });
  multiply(m, h, m, Q, x, CP, ld,
           [&](int i, int j, Vd c) DMX_LAMBDA { at(below, i * x + j) = -c; });
  multiply(h, h, m, right, x, CP, ld, [&](int i, int j, Vd c) DMX_LAMBDA {
    at(X, i * x + j) = at(P, i * ld + j) - c;
  });
}

}  // namespace

void halve(int n, const double* A, long a, double* X, long x) {
  thread_local const std::unique_ptr<Space> space(new Space);
  const int ld = padded(n);
  for (int i = 0; i < n; i++) {
    std::memcpy(space->A + i * ld, A + i * a, sizeof(double) * n);
    for (int j = n; j < ld; j++) space->A[i * ld + j] = 0;
  }
  halve(n, space->A, ld, space->X, ld, space->room);
  for (int i = 0; i < n; i++) std::memcpy(X + i * x, space->X + i * ld, sizeof(double) * n);
}

}  // namespace dmx::DMX_ISA
