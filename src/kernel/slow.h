// One matrix at a time, in float64 and doubled precision: what the fast path leaves unfinished.
#pragma once
#include "kernel.h"

namespace dmx::DMX_ISA {

// Inverts the matrix at A, or leaves the results at entry k as they are where it does no better.
void invert_carefully(int n, const double* A, const Results& to, long k);

}  // namespace dmx::DMX_ISA
