#pragma once

namespace dmx::DMX_ISA {

// Puts zeros where the pattern of zeros of A, of order n, makes its inverse X zero; false where
// there is nothing to put.
bool put_structural_zeros(int n, const double* A, double* X);

}  // namespace dmx::DMX_ISA
