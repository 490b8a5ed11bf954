// Entries of an inverse that the pattern of zeros alone makes zero: linalg/structure.py, in bits.
//
// (A^-1)_ij is zero unless a path leads from i to j in the graph that has an edge wherever A has an
// entry. Warshall's closure: after step k, bit j of row i says that a path leads from i to j whose
// stations between are at most k.
#include "zeros.h"

#include "kernel.h"

namespace dmx::DMX_ISA {

static_assert(largest_order <= 64, "a row of the pattern is one word");

bool put_structural_zeros(int n, const double* A, double* X) {
  uint64_t reach[largest_order];
  const uint64_t all = n == 64 ? ~0ULL : (1ULL << n) - 1;
  uint64_t everywhere = all;
  for (int i = 0; i < n; i++) {
    uint64_t row = 1ULL << i;
    for (int j = 0; j < n; j++) row |= (uint64_t)(A[i * n + j] != 0) << j;
    everywhere &= reach[i] = row;
  }
  if (everywhere == all) return false;
  for (int k = 0; k < n; k++)
    for (int i = 0; i < n; i++) reach[i] |= reach[i] >> k & 1 ? reach[k] : 0;
  everywhere = all;
  for (int i = 0; i < n; i++) everywhere &= reach[i];
  if (everywhere == all) return false;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++)
      if (!(reach[i] >> j & 1)) X[i * n + j] = 0;
  return true;
}

}  // namespace dmx::DMX_ISA
