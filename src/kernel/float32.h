#pragma once
#include "kernel.h"

namespace dmx::DMX_ISA {

// As `invert`, for matrices and results in float32; bounds stay float64.
void invert_float32(int n, Method method, const float* A, Results32 to, long count, Invert invert);

}  // namespace dmx::DMX_ISA
