// One matrix at a time, in float64 and doubled precision: what the fast path leaves unfinished.
#pragma once
#include "kernel.h"

namespace dmx::DMX_ISA {

// Exponents r and c of rows and columns: 2^-r A 2^-c has rows, then columns, of largest entry in
// [1, 2). False for a zero or infinite line.
bool even_scaling(int n, const double* A, int* r, int* c);

// Inverts the matrix at A, or leaves the results at entry k as they are where it does no better.
void invert_carefully(int n, const double* A, const Results& to, long k);

}  // namespace dmx::DMX_ISA
