extern "C" __global__ void invert(const T* A, T* Z, long long count, bool* settled,
                                  double* residual_bound, double* error_bound,
                                  double* relative_bound) {
  __shared__ Room rooms[MATRICES];
  const int group = threadIdx.x / WIDTH;
  const long long index = blockIdx.x * static_cast<long long>(MATRICES) + group;
  const bool active = index < count;
  Room& s = rooms[group];
  const Lane l{s, static_cast<int>(threadIdx.x % WIDTH)};

  // The warp's matrices lie side by side: its lanes read and write them together.
  constexpr int BATCH = WARP / WIDTH, SIZE = N * N;
  Room* const ours = rooms + threadIdx.x / WARP * BATCH;
  const long long first = (index - group % BATCH) * SIZE, end = count * SIZE;
#pragma unroll 4
  for (int m = threadIdx.x % WARP; m < BATCH * SIZE; m += WARP)
    ours[m / SIZE].B[m % SIZE / N * LINE + m % N] = first + m < end ? A[first + m] : 0;
  __syncwarp();

  Row x[ROWS], r[ROWS], low[ROWS];
  bool sound = true;
  const Scale of = equilibrate(l, x, sound);
  exchange(l, x);
  Norms X;
  double spread = 0;  // |X||B|
#pragma unroll
  for (int a = 0; a < ROWS; a++) {
    Norms one;
    double t = 0;
#pragma unroll
    for (int j = 0; j < N; j++) {
      x[a][j] = l.has(a) ? s.X[l.row(a) * LINE + j] : 0;
      t = fma(fabs(x[a][j]), s.sums[j], t);
      one.add(fabs(x[a][j]), s.weights[j]);
    }
    X.raise(one);
    spread = larger(spread, t);
  }
  X = X.over_rows();
  sound = all_of(sound) && 2 * N * U * above(spread) < 1;
#if SINGLE
  const Residual found = residual_of(l, x, r);
  if (!KEPT) taken(l, x, x, r);
#else
  bool even = true;
  Residual found = residual_of(l, x, low, r, even);
  if (!KEPT) taken(l, x, low, r);
  even = all_of(even);
  const bool loose = sound && (!even || (found.d > U / 4 && found.R < 0.25));
  if (__any_sync(ALL, loose)) {
    const Residual better = doubled(l, x, low, loose);
    if (loose) found = better, taken(l, x, low, r);
  }
#endif
  const double alpha = (found.R + found.d) * SAFE;
  sound = sound && alpha < 0.25;
  __syncwarp();

  Norms q = X, before, now;
  double* C = s.C;  // not yet written: 0 in round 0
  double* D = s.B;
  int rounds = 0;
#pragma unroll 1
  for (; rounds < ROUNDS; rounds++) {
    // each matrix by itself: no bit depends on the neighbours in the warp
    const bool wanted = sound && alpha * q.plain > ENOUGH * X.plain;
    if (!__any_sync(ALL, wanted)) break;
    Norms moved, held, moved_row[ROWS], held_row[ROWS];
#pragma unroll TURNS
    for (int j = 0; j < N; j++) {
      double sum[ROWS] = {};
      if (rounds) {
#pragma unroll
        for (int k = 0; k < N; k++) {
          const double c = C[k * LINE + j];
#pragma unroll
          for (int a = 0; a < ROWS; a++) sum[a] = fma(r[a][k], c, sum[a]);
        }
      }
#pragma unroll
      for (int k = 0; k < N; k++) {
        const double c = s.X[k * LINE + j];
#pragma unroll
        for (int a = 0; a < ROWS; a++) sum[a] = fma(r[a][k], c, sum[a]);
      }
#pragma unroll
      for (int a = 0; a < ROWS; a++)
        if (l.has(a)) {
          const double old = rounds ? C[l.row(a) * LINE + j] : 0, next = wanted ? sum[a] : old;
          D[l.row(a) * LINE + j] = next;
          moved_row[a].add(fabs(next - old), s.weights[j]);
          held_row[a].add(fabs(next), s.weights[j]);
        }
    }
#pragma unroll
    for (int a = 0; a < ROWS; a++) moved.raise(moved_row[a]), held.raise(held_row[a]);
    __syncwarp();
    double* const other = C;
    C = D, D = other;
    moved = moved.over_rows();
    held = held.over_rows();
    if (wanted) before = now, now = held, q = moved;
  }
  const double f = 1.02 * (G * found.R + found.d), rest = reciprocal(1 - alpha) * MORE;
  const double e_w = (f * (X.weighted + before.weighted) + alpha * q.weighted) * rest + TINY;
  const double e = (f * (X.plain + before.plain) + alpha * q.plain) * rest + TINY;

  double error = 0, off = 0, row = 0, norm_Y = 0, norm_Z = 0;
#pragma unroll 1
  for (int a = 0; a < ROWS; a++)
    if (l.has(a)) {
      Norms known;
      double size = 0, sum = 0;
      const double mine = s.down[l.row(a)], over = inverse(mine);
#pragma unroll 2
      for (int j = 0; j < N; j++) {
        double& c = C[l.row(a) * LINE + j];
        const double X_ij = s.X[l.row(a) * LINE + j], C_ij = rounds ? c : 0, y = X_ij + C_ij;
        const double at = y - X_ij, lost = (X_ij - (y - at)) + (C_ij - at);
        const double held = static_cast<double>(static_cast<T>(y * over * inverse(s.up[j])));
        known.add(fabs(SINGLE ? (held * mine * s.up[j] - y) - lost : lost), s.weights[j]);
        size += fabs(y), sum += fabs(held);
        c = held;
      }
      const double here = (known.plain + e) * SAFE;
      row = larger(row, here), norm_Y = larger(norm_Y, size), norm_Z = larger(norm_Z, sum);
      error = larger(error, (known.weighted + e_w) * SAFE * over * inverse(of.least));
      off = larger(off, here * of.lines * (of.most * over));
    }
  __syncwarp();
  const bool swapped = C != s.C;  // all matrices of a warp took as many rounds
#pragma unroll 4
  for (int m = threadIdx.x % WARP; m < BATCH * SIZE; m += WARP)
    if (first + m < end) {
      const Room& o = ours[m / SIZE];
      Z[first + m] = static_cast<T>((swapped ? o.B : o.C)[m % SIZE / N * LINE + m % N]);
    }

  error = above(error) + 0x1p-1070;
  const double residual = above(off) + 0x1p-1070;
  const double whole = above(norm_Z), relative = above(row) * reciprocal(below(norm_Y)) * MORE;
  const double plainly = error * reciprocal(below(norm_Z)) * MORE;
  sound = sound && e <= FINE * X.plain && whole <= LARGEST && whole > 0 && error <= LARGEST;
  if (active && l.lane == 0) {
    const double inf = __longlong_as_double(0x7ff0000000000000LL);
    settled[index] = sound;
    residual_bound[index] = sound ? residual : inf;
    error_bound[index] = sound ? error : inf;
    relative_bound[index] = sound ? larger(plainly, relative) : inf;
  }
}
