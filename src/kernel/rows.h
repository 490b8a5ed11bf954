#pragma once
#include "kernel.h"

namespace dmx::DMX_ISA {

// Orders above batch_order, to largest_order: proposed batch last, proven matrix by matrix.
void invert_rows(int n, Method method, const double* A, Results to, long count);

}  // namespace dmx::DMX_ISA
