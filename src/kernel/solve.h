#pragma once
#include "kernel.h"

namespace dmx::DMX_ISA {

// Solves each of `count` systems; see kernel.h.
void solve_systems(const Systems& systems, long first, long last);

}  // namespace dmx::DMX_ISA
