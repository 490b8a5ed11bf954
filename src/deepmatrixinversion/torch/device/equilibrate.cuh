struct Scale {
  double least, most;  // of 2^r_i, and of 2^c_j
  double lines;        // the largest row of |B| 2^c over ``most``
};

// v = B's rows, from A in room.B; into room.B and, of float64, room.C as slices B = Bh + Bl. Not
// sound for zero, infinite and far away lines.
__device__ Scale equilibrate(Lane l, Row (&v)[ROWS], bool& sound) {
  Room& s = l.s;
  int least = -0x7fffffff, largest = 0, tops[N];
#pragma unroll
  for (int j = 0; j < N; j++) tops[j] = 0;
#pragma unroll
  for (int a = 0; a < ROWS; a++) {
    int top = 0;
#pragma unroll
    for (int j = 0; j < N; j++) {
      v[a][j] = l.has(a) ? s.B[l.row(a) * LINE + j] : 0;
      top = max(top, size_of(v[a][j]));
    }
    if (!l.has(a)) continue;
    const double up = power(top), over = inverse(up);
    sound = sound && !far(up);
    least = max(least, -__double2hiint(up));
    s.up[l.row(a)] = up;
#pragma unroll
    for (int j = 0; j < N; j++) tops[j] = max(tops[j], size_of(v[a][j] *= over));
  }
  double down[N];
#pragma unroll
  for (int j = 0; j < N; j++) {
    down[j] = power(most(tops[j]));
    sound = sound && !far(down[j]);
    largest = max(largest, __double2hiint(down[j]));
    if (l.lane == j % WIDTH) s.down[j] = down[j];
  }
  const double low = __hiloint2double(-most(least), 0), high = __hiloint2double(largest, 0);
  constexpr double grid = 1.5 * 0x1p53 / (1 << (BITS - 1));
  double lines = 0;
#pragma unroll
  for (int a = 0; a < ROWS; a++) {
    if (!l.has(a)) continue;
    double line = 0, sum = 0, lows = 0;
#pragma unroll
    for (int j = 0; j < N; j++) {
      line = fma(fabs(v[a][j]), inverse(high), line);
      const double b = v[a][j] *= inverse(down[j]), upper = SINGLE ? b : (b + grid) - grid;
      s.B[l.row(a) * LINE + j] = upper;
      if (!SINGLE) s.C[l.row(a) * LINE + j] = b - upper;
      sum += fabs(b), lows += fabs(b - upper);
    }
    s.weights[l.row(a)] = fmax(low * inverse(s.up[l.row(a)]), 0x1p-1000);
    s.sums[l.row(a)] = sum * SAFE, s.lows[l.row(a)] = lows * SAFE;
    lines = larger(lines, line);
  }
  __syncwarp();
  return {low, high, above(lines)};
}
