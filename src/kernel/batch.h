#pragma once
#include "kernel.h"

namespace dmx::DMX_ISA {

constexpr int batch_order = 16;  // the largest order that goes batch last

// Inverts what is not finished row by row afterwards: see slow.h.
void invert_batch(int n, Method method, const double* A, Results to, long count);

}  // namespace dmx::DMX_ISA
