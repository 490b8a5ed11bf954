// X ~ B^-1 into room.X: in step k, row k's unknown p and its value change places.
__device__ void exchange(Lane l, Row (&v)[ROWS]) {
  Room& s = l.s;
  unsigned used = 0;
  int mine[ROWS];
#pragma unroll
  for (int a = 0; a < ROWS; a++) {
    mine[a] = l.row(a);
    if (l.has(a)) s.place[l.row(a)] = l.row(a);  // whatever NaN does, no index leaves the arrays
  }
  __syncwarp();
#pragma unroll
  for (int turn = 0; turn < ROWS; turn++) {
#pragma unroll 1
    for (int owner = 0; owner < (turn + 1 < ROWS ? WIDTH : N - turn * WIDTH); owner++) {
      const int k = turn * WIDTH + owner;
      int best = -1, p = 0;
#pragma unroll
      for (int j = 0; j < N; j++) {
        const int size = size_of(v[turn][j]);
        const bool better = size > best && !(used >> j & 1);
        best = better ? size : best;
        p = better ? j : p;
      }
      p = __shfl_sync(ALL, p, owner, WIDTH);
      used |= 1u << p;
      if (l.lane == owner) {
#pragma unroll
        for (int j = 0; j < N; j++) s.row[j] = v[turn][j], v[turn][j] = 0;
        mine[turn] = p;
        s.place[p] = k;
      }
      __syncwarp();
      const double d = reciprocal(s.row[p]);
      double q[ROWS];
#pragma unroll
      for (int a = 0; a < ROWS; a++) {
        double f = 1;
#pragma unroll
        for (int j = 0; j < N; j++) f = j == p ? v[a][j] : f;
        q[a] = (a == turn && l.lane == owner ? 1 : f) * d;
      }
#pragma unroll
      for (int j = 0; j < N; j++) {
        const double w = s.row[j];
#pragma unroll
        for (int a = 0; a < ROWS; a++) v[a][j] = j == p ? q[a] : fma(-q[a], w, v[a][j]);
      }
      __syncwarp();
    }
  }
#pragma unroll
  for (int a = 0; a < ROWS; a++)
    if (l.has(a)) {
#pragma unroll
      for (int j = 0; j < N; j++) s.X[mine[a] * LINE + s.place[j]] = v[a][j];
    }
  __syncwarp();
}
