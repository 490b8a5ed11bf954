struct Residual {
  double R = 0, d = 0;  // bounds on |R| and |R - (I - X B)|
  __device__ void raise(double row, double off) {
    R = larger(row, R), d = larger(off, d);
  }
  __device__ Residual over_rows() const { return {above(R), above(d)}; }
};

// R's rows are kept in registers where that unrolls little enough, else meanwhile in room.X.
constexpr bool KEPT = N <= 8;
constexpr int UNROLL = KEPT ? N : 2;

#if SINGLE
__device__ Residual residual_of(Lane l, const Row (&x)[ROWS], Row (&r)[ROWS]) {
  Room& s = l.s;
  double moduli[ROWS] = {};
#pragma unroll UNROLL
  for (int j = 0; j < N; j++) {
    double sum[ROWS];
#pragma unroll
    for (int a = 0; a < ROWS; a++) sum[a] = l.row(a) == j;
#pragma unroll
    for (int k = 0; k < N; k++) {
      const double b = s.B[k * LINE + j];
#pragma unroll
      for (int a = 0; a < ROWS; a++) sum[a] = fma(-x[a][k], b, sum[a]);
    }
#pragma unroll
    for (int a = 0; a < ROWS; a++) {
      if (KEPT) r[a][j] = sum[a];
      if (!KEPT && l.has(a)) s.X[l.row(a) * LINE + j] = sum[a];
      moduli[a] += fabs(sum[a]);
    }
  }
  Residual found;
#pragma unroll
  for (int a = 0; a < ROWS; a++) {
    double t = 0;
#pragma unroll
    for (int k = 0; k < N; k++) t = fma(fabs(x[a][k]), s.sums[k], t);
    if (l.has(a)) found.raise(moduli[a], G * (1 + t) + TINY);
  }
  return found.over_rows();
}
#else
// By slices, x becoming Xh and ``low`` Xl; ``even`` where X is of a size for which they are exact.
__device__ Residual residual_of(Lane l, Row (&x)[ROWS], Row (&low)[ROWS], Row (&r)[ROWS],
                                bool& even) {
  Room& s = l.s;
  double d[ROWS] = {}, moduli[ROWS] = {};
#pragma unroll
  for (int a = 0; a < ROWS; a++) {
    int top = 0;
#pragma unroll
    for (int k = 0; k < N; k++) top = max(top, size_of(x[a][k]));
    if (l.has(a)) even = even && power(top) > 0.125 / N && power(top) < 0x1p40;
    const double grid = power(top) * (1.5 * 0x1p53 / (1 << (BITS - 1)));
#pragma unroll
    for (int k = 0; k < N; k++) {
      const double high = (x[a][k] + grid) - grid;
      low[a][k] = x[a][k] - high;
      x[a][k] = high;
      d[a] = fma(fabs(high), s.lows[k], fma(fabs(low[a][k]), s.sums[k], d[a]));
    }
  }
#pragma unroll UNROLL
  for (int j = 0; j < N; j++) {
    double exact[ROWS], rest[ROWS], more[ROWS];
#pragma unroll
    for (int a = 0; a < ROWS; a++) exact[a] = l.row(a) == j, rest[a] = more[a] = 0;
#pragma unroll
    for (int k = 0; k < N; k++) {
      const double bh = s.B[k * LINE + j], bl = s.C[k * LINE + j];
#pragma unroll
      for (int a = 0; a < ROWS; a++) {
        exact[a] = fma(-x[a][k], bh, exact[a]);
        rest[a] = fma(-x[a][k], bl, rest[a]);
        more[a] = fma(-low[a][k], bh, more[a]);
        more[a] = fma(-low[a][k], bl, more[a]);
      }
    }
#pragma unroll
    for (int a = 0; a < ROWS; a++) {
      const double sum = exact[a] + (rest[a] + more[a]);
      if (KEPT) r[a][j] = sum;
      if (!KEPT && l.has(a)) s.X[l.row(a) * LINE + j] = sum;
      moduli[a] += fabs(sum);
    }
  }
  Residual found;
#pragma unroll
  for (int a = 0; a < ROWS; a++)
    if (l.has(a)) found.raise(moduli[a], G * d[a] + 1.01 * U * moduli[a] + TINY);
  return found.over_rows();
}

// In doubled precision, for the matrices that want it: into room.X, where it is read afterwards.
__device__ Residual doubled(Lane l, const Row (&high)[ROWS], const Row (&low)[ROWS], bool wanted) {
  Room& s = l.s;
  Residual found;
#pragma unroll
  for (int a = 0; a < ROWS; a++) {
    double t = 0, moduli = 0;
#pragma unroll
    for (int k = 0; k < N; k++) t += fabs(high[a][k] + low[a][k]) * s.sums[k];
#pragma unroll 1
    for (int j = 0; j < N; j++) {
      double sum = l.row(a) == j, rest = 0;
#pragma unroll
      for (int k = 0; k < N; k++) {
        const double x = -(high[a][k] + low[a][k]), b = s.B[k * LINE + j] + s.C[k * LINE + j];
        const double p = x * b, next = sum + p, back = next - sum;
        rest += ((sum - (next - back)) + (p - back)) + fma(x, b, -p);
        sum = next;
      }
      moduli += fabs(sum + rest);
      if (wanted && l.has(a)) s.X[l.row(a) * LINE + j] = sum + rest;
    }
    if (l.has(a)) found.raise(moduli, 1.01 * U * moduli + H * (1 + t * SAFE) + TINY);
  }
  return found.over_rows();
}
#endif

// R's rows from room.X into registers, X's back.
__device__ void taken(Lane l, const Row (&high)[ROWS], const Row (&low)[ROWS], Row (&r)[ROWS]) {
#pragma unroll
  for (int a = 0; a < ROWS; a++)
    if (l.has(a)) {
#pragma unroll
      for (int j = 0; j < N; j++) {
        double& shared_x = l.s.X[l.row(a) * LINE + j];
        r[a][j] = shared_x;
        shared_x = SINGLE ? high[a][j] : high[a][j] + low[a][j];
      }
    }
}
