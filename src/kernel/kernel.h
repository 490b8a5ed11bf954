// What the kernel offers, the same for every instruction set.
#pragma once
#include <cstdint>

namespace dmx {

constexpr int largest_order = 64;
constexpr int largest_halved = 256;  // of what is inverted without a proof
constexpr int largest_guess = 256;  // the largest order of a guess without a proof

// What proposes; `given` are candidates that stand where the inverses go.
enum class Method { elimination, network, given };

// What is said of a matrix, as bits.
constexpr uint8_t finished = 1;  // proven, and to a few roundings
constexpr uint8_t plain = 2;     // entries of usual magnitude; told apart from the singular matrices
                                 // within roundings of its entries, and proven to a few roundings,
                                 // with rows and columns scaled evenly as well
// Within the kernel:
constexpr uint8_t sparse = 4;    // perhaps there are zeros
constexpr uint8_t uneven = 8;    // a usual magnitude, but rows or columns are not of even size

// Where the results for matrices of order n go, one entry (n x n numbers of X) a matrix.
template <class T> struct ResultsOf {
  T* X;              // the inverse
  double* error;     // at least ||A^-1 - X||inf; inf where nothing is proven
  double* residual;  // at least ||I - X A||inf, and ||I - A X||inf where rows and columns are of even
                     // size; inf where nothing is proven
  double* relative;  // at least ||A^-1 - X||inf / ||X||inf; inf where nothing is proven
  uint8_t* state;    // the bits above

  ResultsOf from(long k, int n) const {
    return {X + k * n * n, error + k, residual + k, relative + k, state + k};
  }
};
using Results = ResultsOf<double>;
using Results32 = ResultsOf<float>;

// Inverts `count` matrices of order n at A, one after the other, row by row.
using Invert = void (*)(int n, Method method, const double* A, Results to, long count);
using Invert32 = void (*)(int n, Method method, const float* A, Results32 to, long count);

// Systems A Y = B of order n with p right-hand sides, and inverses X of A that are proven.
struct Systems {
  int n, p;
  const double *A, *X;   // matrix after matrix
  const double* error;   // at least ||A^-1 - X||inf
  const double* B;       // n x p numbers a system
  long A_step, B_step;   // from one system to the next: n n or 0, n p or 0
  double *Y, *bound;     // the solutions, n x p, and p bounds on their largest errors: inf where
                         // there is nothing to be said or more careful code would do better
};
using Solve = void (*)(const Systems& systems, long first, long last);

// What is said of `count` given X, beside what Results says: X is not written, and `finished` means
// that bounds are the error itself, but for a twentieth or roundings.
using Certify = void (*)(int n, const double* A, const double* X, Results to, long count);

// The weights of the network `spectral`, (in, out) and padded with zeros to whole `width`s: matrix
// and bias of gate (both halves padded), mix and out, for each of its two consultations.
struct Network {
  static constexpr int width = 16, most_units = 256, seen[2] = {15, 19};
  int units;  // a multiple of width
  const float* weights;
  static long size(int consultation, int units) {
    return (long)(seen[consultation] + units + 1) * 2 * units + (long)(units + 1) * (units + width);
  }
};

// Guesses at the inverses of matrices S of order n and of norm near one.
struct Guesses {
  int n;
  const double* S;
  const uint8_t* definite;          // whether to start from the identity, not from S^T
  double *factor, *R, *square;      // X = factor S^T or factor I, R = I - S X, and R^2
  double* gram;                     // inner products of I, R and R^2, 3 x 3
  // What follows is for `descend` alone.
  const uint8_t* ways;              // each one's: the network's, greedy steps', the open-ended step's
  Network network;
  int most;                         // products at most
  double enough;                    // residual at which a matrix is done
  double *X, *residual;             // the guesses, and predictions
  int64_t* products;
};
// Of the matrices from `first` to `last`: factor, R, its square and their inner products; or, from
// these, the rest.
using Guess = void (*)(const Guesses& g, long first, long last);

// X, rows x apart, is to be the inverse of the matrix at A, rows a apart; nothing is proven.
using Halve = void (*)(int n, const double* A, long a, double* X, long x);

// Passes over one large matrix: passes.h.
struct Passes {
  void (*products)(long n, long m, const double* A, const double* V, double* out);
  void (*moduli)(long n, long m, const double* A, const double* V, double* out);
  void (*squares)(long n, const double* A, const double* v, double* rows, double* columns);
  void (*doubled_product)(long n, const double* x, const double* y, const double* A, double* high,
                          double* low);
};

// One instruction set.
struct Kernel {
  const char* name;
  int lanes;  // matrices that go together
  bool (*supported)();
  Invert invert;
  Invert32 invert32;
  Solve solve;
  Certify certify;
  Guess start, descend;
  Halve halve;
  Passes passes;
  // As fast as the processor can: what it is measured by. The number of multiplications, as well as
  // of additions.
  long (*multiply_adds)(long rounds, double& result);

  void run(int n, Method m, const double* A, Results to, long k) const { invert(n, m, A, to, k); }
  void run(int n, Method m, const float* A, Results32 to, long k) const { invert32(n, m, A, to, k); }
};

}  // namespace dmx
