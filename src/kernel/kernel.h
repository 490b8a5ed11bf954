// What the kernel offers, the same for every instruction set.
#pragma once

namespace dmx {

constexpr int largest_order = 16;

enum class Method { elimination, network };

// Where the results of `count` matrices of order n go, one entry (n x n of X) a matrix.
struct Results {
  double* X;         // the inverse
  double* error;     // at least ||A^-1 - X||inf; inf where nothing is proven
  double* residual;  // at least ||I - X A||inf and ||I - A X||inf; inf where nothing is proven
  double* relative;  // at least ||A^-1 - X||inf / ||X||inf; inf where nothing is proven
  bool* finished;    // proven, and to a few roundings
};

// Inverts matrices of order n at A, one after the other, row by row.
using Invert = void (*)(int n, Method method, const double* A, Results to, long count);

// One instruction set.
struct Kernel {
  const char* name;
  int lanes;  // matrices that go together
  bool (*supported)();
  Invert invert;
};

}  // namespace dmx
