#pragma once
#include "kernel.h"

namespace dmx::DMX_ISA {

// Starts, and from these guesses, by the network for every order; see `Guesses`.
void spectral_start(const Guesses& g, long first, long last);
void spectral_descend(const Guesses& g, long first, long last);

}  // namespace dmx::DMX_ISA
