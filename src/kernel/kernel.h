// What the kernel offers, the same for every instruction set.
#pragma once

namespace dmx {

constexpr int largest_order = 64;

enum class Method { elimination, network };

// Where the results for matrices of order n go, one entry (n x n numbers of X) a matrix.
template <class T> struct ResultsOf {
  T* X;              // the inverse
  double* error;     // at least ||A^-1 - X||inf; inf where nothing is proven
  double* residual;  // at least ||I - X A||inf and ||I - A X||inf; inf where nothing is proven
  double* relative;  // at least ||A^-1 - X||inf / ||X||inf; inf where nothing is proven
  bool* finished;    // proven, and to a few roundings

  ResultsOf from(long k, int n) const {
    return {X + k * n * n, error + k, residual + k, relative + k, finished + k};
  }
};
using Results = ResultsOf<double>;
using Results32 = ResultsOf<float>;

// Inverts `count` matrices of order n at A, one after the other, row by row.
using Invert = void (*)(int n, Method method, const double* A, Results to, long count);
using Invert32 = void (*)(int n, Method method, const float* A, Results32 to, long count);

// One instruction set.
struct Kernel {
  const char* name;
  int lanes;  // matrices that go together
  bool (*supported)();
  Invert invert;
  Invert32 invert32;

  void run(int n, Method m, const double* A, Results to, long k) const { invert(n, m, A, to, k); }
  void run(int n, Method m, const float* A, Results32 to, long k) const { invert32(n, m, A, to, k); }
};

}  // namespace dmx
