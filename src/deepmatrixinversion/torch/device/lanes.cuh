// Certified inverses of a stack of matrices of one small order, N <= 32, in one pass over memory.
//
// WIDTH lanes of a warp share a matrix, each holding ROWS of its rows in registers; what other lanes
// need of them lies in the warp's own shared memory. Arithmetic is float64 whatever the type T of
// the arrays, and compiled without contraction: two-sums and two-products are exact only as they
// are written. No lane branches, but by votes of the warp whose outcome changes no other's bits.
//
// Notation. B = 2^-r A 2^-c, r and c integers for rows and columns, so A^-1 = 2^-c B^-1 2^-r and
// |B_ij| < 2. w_j = 2^(r_min - r_j) <= 1, |M|_w = max_i sum_j |M_ij| w_j, for which |M N|_w <=
// |M| |N|_w, |M| the infinity norm. U = 2^-53, G = 1.01 (2 N + 4) U >= gamma_(2N+3).
//
// 1. X ~ B^-1 by exchange steps (Gauss-Jordan in place), the largest entry of row k for pivot.
// 2. R = fl(I - X B), row sums of |R - (I - X B)| at most d_i, with b_k = sum_j |B_kj| and
//    t_i = sum_k |X_ik| b_k:
//      for float32 matrices in float64            d_i = G (1 + t_i)
//      in slices, X = Xh + Xl, B = Bh + Bl:       d_i = U |R|_i + G (sum_k |Xh_ik| |Bl|_k + |Xl_ik| b_k)
//      in doubled precision, H = 1.05 (N + 2)^2 U^2:   d_i = 1.01 U |R|_i + H (1 + t_i)
//    [Higham 2002, lemma 3.1; Ozaki, Ogita, Oishi, Rump 2012; Ogita, Rump, Oishi 2005, prop. 5.5].
//    Slices: Bh are multiples of 2^(2-BITS), Xh of 2^(2-BITS+s), 2^s <= max_j |X_ij| < 2^(s+1), so
//    that I - Xh Bh is a sum of multiples of 2^(s+4-2 BITS), of N 4^(BITS-1) by the products, and
//    of N 4^BITS/2 by the 1 since 2^s > 1/(8 N): no more than 2^53, so that it is exact in
//    any order. Underflow, here and in 4, is below TINY: |r_i|, |c_j| <= 200, |X| < 2^60.
//    alpha = max_i sum_j |R_ij| + d_i bounds |I - X B|.
// 3. B^-1 - X = C, C = R X + R C. Computed: C <- fl(R X + R C) from C = 0, while that changes it.
//    For the last C and what it was before, C', with q = |C - C'|_w and z = |X|_w + |C'|_w,
//        |B^-1 - X - C|_w <= e = (f + alpha q)/(1 - alpha),  f = 1.02 (G |R| + d) z             (1)
//    since that error F fulfils F = R F + R (C - C') + (what rounding and R's own error did).
// 4. Y = fl(X + C), and what T holds of 2^-c Y 2^-r, scaled back, is Y'; X + C - Y' is known exactly
//    but for rounding its two summands' sum:
//        row i of |B^-1 - Y'| w <= sum_j |X + C - Y'|_ij w_j + e                               (2)
//    and row i of A^-1 - Z is at most 2^-(c_i + r_min) times that. I - Z A = (A^-1 - Z) A, so with
//    w = 1 for the rows of A^-1 - Z and the largest row of B 2^c it is bounded likewise.
//
// Compiled for each ORDER, and for float32 where SINGLE is 1, with MATRICES in a block; by the tests
// for this processor too, as a warp of one lane.
#ifndef WARP
#define WARP 32
#endif
#if SINGLE
using T = float;
#else
using T = double;
#endif
constexpr int N = ORDER;
constexpr int ROWS = (N + WIDTH - 1) / WIDTH;
constexpr int LINE = N | 1;  // an odd number of words: a column lies in as many banks as it can
constexpr int BITS = N <= 2 ? 26 : N <= 10 ? 25 : 24;
static_assert(3.0 * N * (1LL << 2 * BITS) <= 0x1p55);
constexpr double U = 0x1p-53, G = 1.01 * (2 * N + 4) * U, TINY = 0x1p-600;
constexpr double H = 1.05 * (N + 2) * (N + 2) * U * U, SAFE = 1 + 64 * U * (N + 2);
constexpr double MORE = 1 + 0x1p-40, LARGEST = 0x1.fffffffffffffp1023;
constexpr int ROUNDS = 12, TURNS = N > 16 ? 1 : 2;
// What is left to the careful code: bounds that are not settled by the rounding to T alone.
constexpr double UNIT = sizeof(T) == 8 ? U : 0x1p-24, ENOUGH = UNIT / 8, FINE = UNIT / 2;
constexpr unsigned ALL = 0xffffffffu;

struct Room {
  double B[N * LINE], X[N * LINE], C[N * LINE];
  double row[N], sums[N], lows[N], weights[N], up[N], down[N];  // up_i = 2^r_i, down_j = 2^c_j
  int place[N];
  // The next matrix begins WIDTH words on, modulo the banks: lanes of several meet in none.
  double gap[1 + (15 + 16 * 1024 + WIDTH - (3 * N * LINE + 6 * N + (N + 1) / 2)) % 16];
};
static_assert(WIDTH > 8 || sizeof(Room) / 8 % 16 == WIDTH);

using Row = double[N];

__device__ __forceinline__ int most(int x) {
#pragma unroll
  for (int step = WIDTH / 2; step; step /= 2) x = max(x, __shfl_xor_sync(ALL, x, step, WIDTH));
  return x;
}
__device__ __forceinline__ bool all_of(bool x) {
  const unsigned votes = __ballot_sync(ALL, x) >> (threadIdx.x % WARP / WIDTH * WIDTH);
  constexpr unsigned mine = WIDTH == 32 ? ALL : (1u << WIDTH % 32) - 1;
  return (votes & mine) == mine;
}

// Of numbers x >= 0 that a matrix's lanes hold, by their upper halves: more than the largest, by at
// most 2^-19 of it, which is also more than what rounding took from sums; infinity for NaN.
__device__ __forceinline__ double above(double x) {
  return __hiloint2double(min(most(__double2hiint(x)), 0x7fefffff) + 1, 0);
}
// Likewise less than the largest, or equal.
__device__ __forceinline__ double below(double x) {
  return __hiloint2double(max(most(__double2hiint(x)) - 1, 0), 0);
}
// The larger, for rows of one lane; NaN wins.
__device__ __forceinline__ double larger(double x, double y) {
  return __double2hiint(x) > __double2hiint(y) ? x : y;
}

// |x| for comparison, as an integer: its upper half, which orders as the numbers do.
__device__ __forceinline__ int size_of(double x) { return __double2hiint(x) & 0x7fffffff; }

// The power of two that divides a number of this size into [1, 2); infinity for NaN and infinity.
__device__ __forceinline__ double power(int size) {
  return __hiloint2double(size & 0x7ff00000, 0);
}
__device__ __forceinline__ bool far(double p) { return !(p >= 0x1p-200 && p <= 0x1p200); }
__device__ __forceinline__ double inverse(double p) {  // of a power of two
  return __hiloint2double(0x7fe00000 - __double2hiint(p), 0);
}
__device__ __forceinline__ double reciprocal(double d) {  // to a few units, or NaN or infinity
#ifdef __CUDACC__
  double x;
  asm("rcp.approx.ftz.f64 %0, %1;" : "=d"(x) : "d"(d));
  x = fma(fma(-d, x, 1.0), x, x);
  return fma(fma(-d, x, 1.0), x, x);
#else
  return 1 / d;
#endif
}

// One lane's view of its matrix: rows a * WIDTH + lane, where that is below N.
struct Lane {
  Room& s;
  int lane;
  __device__ int row(int a) const { return a * WIDTH + lane; }
  __device__ bool has(int a) const { return N % WIDTH == 0 || row(a) < N; }
};

// |.|_w and the infinity norm of rows, and then of a matrix
struct Norms {
  double weighted = 0, plain = 0;
  __device__ void add(double x, double w) { weighted = fma(x, w, weighted), plain += x; }
  __device__ void raise(const Norms& o) {
    weighted = larger(o.weighted, weighted), plain = larger(o.plain, plain);
  }
  __device__ Norms over_rows() const { return {above(weighted), above(plain)}; }
};
