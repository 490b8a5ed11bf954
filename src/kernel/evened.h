// A matrix with its rows and columns scaled evenly, by powers of two: notation of slow.cpp.
#pragma once
#include "kernel.h"

namespace dmx::DMX_ISA {

// B = 2^-r A 2^-c, a candidate X for its inverse, its residual R, room Y; then X1 in Z and d in D.
struct Evened {
  static constexpr int room = largest_order * largest_order;
  int n;
  alignas(64) double B[room], X[room], R[room], Y[room], Z[room], D[room];
  int r[largest_order], c[largest_order], r_min, c_max;
  double w[largest_order], b[largest_order], q[largest_order];
};

struct Norms {
  double plain, weighted;
};

// Exponents r and c of rows and columns: 2^-r A 2^-c has rows, then columns, of largest entry in
// [1, 2). False for a zero or infinite line.
bool even_scaling(int n, const double* A, int* r, int* c);

// B and what is summed of it, for s.n; false for a zero or infinite line.
bool equilibrate(Evened& s, const double* A);

// X1 with its bounds by the rest of (3), w = 1 or not, to entry k if it is the best yet.
void keep_best(const Evened& s, const double* A, const Norms& term, const Results& to, long k);

}  // namespace dmx::DMX_ISA
