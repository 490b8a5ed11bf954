#pragma once
#include "kernel.h"
#include "vec.h"

namespace dmx::DMX_ISA {

constexpr int batch_order = 16;  // the largest order that goes batch last

// Orders 1 to batch_order, many matrices side by side.
void invert_batch(int n, Method method, const double* A, Results to, long count);

// The proposer of an order up to batch_order alone, in place, for LF matrices in lanes.
void propose_lanes(int n, Method method, Vf* A);

}  // namespace dmx::DMX_ISA
