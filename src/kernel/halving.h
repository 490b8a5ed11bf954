#pragma once
#include "kernel.h"

namespace dmx::DMX_ISA {

// The inverse of the matrix at A into X, rows a and x apart: garbage, NaN included, where a leading
// block is singular. Orders up to largest_halved.
void halve(int n, const double* A, long a, double* X, long x);

}  // namespace dmx::DMX_ISA
