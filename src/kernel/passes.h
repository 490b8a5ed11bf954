// Passes over large matrices, each of order n, row after row: what costs n^2 there.
#pragma once
#include "kernel.h"

namespace dmx::DMX_ISA {

// out = A V and |A| V for few columns, V and out n x m.
void products(long n, long m, const double* A, const double* V, double* out);
void moduli(long n, long m, const double* A, const double* V, double* out);

// rows = (A o A) v, and columns = 1^T (A o A).
void squares(long n, const double* A, const double* v, double* rows, double* columns);

// high + low = x^T A + y^T A, the first in doubled precision; y may be zero.
void doubled_product(long n, const double* x, const double* y, const double* A, double* high,
                     double* low);

}  // namespace dmx::DMX_ISA
