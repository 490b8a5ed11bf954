#pragma once
#include "padded.h"

namespace dmx::DMX_ISA {

// Corrects entry k once more, the proven but loose inverse of the matrix at A, whose scale and
// largest row sum (scaled) the first round found; leaves it as it is where it does no better.
void invert_again(Work& w, const double* A, double scale, float B_sum, const Results& to, long k);

}  // namespace dmx::DMX_ISA
