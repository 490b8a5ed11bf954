// The classical proposer: Gauss-Jordan elimination in float32, in lockstep over the lanes.
#pragma once
#include "vec.h"

namespace dmx::DMX_ISA {

// Inverts in place, with partial pivoting. Every lane has pivots of its own, so rows are exchanged
// by selecting; the search for the next pivot runs within the update that makes its column.
template <int n> DMX_APART void eliminate(Vf* __restrict A) {
  If pivot[n], at{};
  Vf best = absolute(A[0]);
  for (int i = 1; i < n; i++) {
    Vf size = absolute(A[i * n]);
    If better = size > best;
    best = better ? size : best;
    at = better ? If{} + i : at;
  }
  unrolled<n>([&](auto k) DMX_LAMBDA {
    Vf old[n], row[n];
    unrolled<n>([&](auto j) DMX_LAMBDA { old[j] = row[j] = A[k * n + j]; });
    pivot[k] = at;
    for (int i = k + 1; i < n; i++) {
      If here = at == i;
      unrolled<n>([&](auto j) DMX_LAMBDA { row[j] = here ? A[i * n + j] : row[j]; });
    }
    Vf inverse = 1.0f / row[k];
    unrolled<n>([&](auto j) DMX_LAMBDA { row[j] *= inverse; });
    row[k] = inverse;
    for (int i = 0; i < k; i++) {
      Vf f = A[i * n + k];
      unrolled<n>([&](auto j) DMX_LAMBDA {
        A[i * n + j] = (j == k ? Vf{} : A[i * n + j]) - f * row[j];
      });
    }
    unrolled<n>([&](auto j) DMX_LAMBDA { A[k * n + j] = row[j]; });
    Vf top{};
    If next = If{} + (k + 1);
    for (int i = k + 1; i < n; i++) {  // where the pivot's row was comes what was row k
      If here = at == i;
      Vf f = here ? old[k] : A[i * n + k];
      unrolled<n>([&](auto j) DMX_LAMBDA {
        Vf t = j == k ? Vf{} : (here ? old[j] : A[i * n + j]);
        t -= f * row[j];
        A[i * n + j] = t;
        if constexpr (j == k + 1) {
          Vf size = absolute(t);
          If better = size > top;
          top = better ? size : top;
          next = better ? If{} + i : next;
        }
      });
    }
    at = next;
  });
  // (P A)^-1 P: the exchanges of rows, undone on columns from the last to the first.
  for (int r = 0; r < n; r++) {
    Vf x[n];
    unrolled<n>([&](auto j) DMX_LAMBDA { x[j] = A[r * n + j]; });
    unrolled<n - 1>([&](auto back) DMX_LAMBDA {
      constexpr int k = n - 2 - back;
      unrolled<n - 1 - k>([&](auto o) DMX_LAMBDA {
        constexpr int i = k + 1 + o;
        If here = pivot[k] == i;
        Vf t = x[k];
        x[k] = here ? x[i] : t;
        x[i] = here ? t : x[i];
      });
    });
    unrolled<n>([&](auto j) DMX_LAMBDA { A[r * n + j] = x[j]; });
  }
}

}  // namespace
