// The residual in twice the working precision, and a bound on ‖A^-1 - Z‖ that every rounding error is
// part of. The derivation is that of the page "The certificate", with d = 4.

const U = 2 ** -53;
const SPLIT = 2 ** 27 + 1;
const TINY = 2 ** -1000; // more than all underflow in what is computed here
const RANGE = 2 ** 400; // entries within 1/RANGE and RANGE: no product of two over- or underflows
/** Sums of fewer than a thousand terms that are not negative, rounded upward. */
const up = (x) => x * (1 + 2 ** -40) + TINY;
const TERMS = 4; // of the series R + R² + …
const gamma = (n) => (n * U) / (1 - n * U);

function split(a) {
  const c = SPLIT * a;
  const high = c - (c - a);
  return [high, a - high];
}

/** [s, e] with s = fl(a + b) and s + e = a + b (Knuth). */
export function twoSum(a, b) {
  const s = a + b;
  const z = s - a;
  return [s, a - (s - z) + (b - z)];
}

/** [p, e] with p = fl(a b) and p + e = a b (Dekker, Veltkamp). */
export function twoProduct(a, b) {
  const p = a * b;
  const [a1, a2] = split(a);
  const [b1, b2] = split(b);
  return [p, a2 * b2 - (p - a1 * b1 - a2 * b1 - a1 * b2)];
}

/** R = I - A X and D >= |R - (I - A X)|, entry by entry (Ogita, Rump, Oishi: Dot2). */
export function residual(A, X) {
  const n = A.length;
  const g = gamma(n + 1);
  const R = [];
  const D = [];
  for (let i = 0; i < n; i++) {
    R.push([]);
    D.push([]);
    for (let j = 0; j < n; j++) {
      let s = i === j ? 1 : 0;
      let low = 0;
      let moduli = s;
      for (let k = 0; k < n; k++) {
        const [p, e] = twoProduct(-A[i][k], X[k][j]);
        const [t, f] = twoSum(s, p);
        s = t;
        low += e + f;
        moduli += Math.abs(p);
      }
      R[i].push(s + low);
      D[i].push(up(2 * U * Math.abs(s + low) + 2 * g * g * up(moduli)));
    }
  }
  return { R, D };
}

export const frobenius = (M) => Math.hypot(...M.flat());
const sum = (row) => up(row.reduce((total, x) => total + Math.abs(x), 0));
/** |M| v for v >= 0, rounded upward. */
const times = (M, v) => M.map((row) => up(row.reduce((t, x, k) => t + Math.abs(x) * v[k], 0)));
/** The largest row sum of moduli, rounded upward. */
export const norm = (M) => Math.max(...M.map(sum));

export function product(A, B) {
  return A.map((row) =>
    row.map((_, j) => row.reduce((total, a, k) => total + a * B[k][j], 0)),
  );
}

const inRange = (M) =>
  M.flat().every((x) => x === 0 || (Math.abs(x) < RANGE && Math.abs(x) > 1 / RANGE));

/** Y near R + R² + … + R^TERMS, from r with |r - R| <= D, and row sums of its error. */
function series(r, D, both) {
  const g = gamma(r.length + 1);
  let Y = r;
  let errors = D.map(sum);
  for (let k = 2; k <= TERMS; k++) {
    const sizes = Y.map(sum);
    const byD = times(D, sizes.map((s) => up(1 + s)));
    const carried = times(both, errors);
    const rounding = times(r, sizes);
    Y = product(r, Y).map((row, i) => row.map((x, j) => r[i][j] + x));
    errors = Y.map((row, i) => up(byD[i] + carried[i] + g * rounding[i] + U * sum(row)));
  }
  return { Y, errors };
}

/** The largest row sum of |X| |R|^(TERMS + 1) |(I - R)^-1|. */
function remainder(X, both, sums, alpha) {
  let v = sums;
  for (let k = 1; k <= TERMS; k++) v = times(both, v);
  return times(X, v).map((x) => up(x / (1 - alpha)));
}

/** fl(X + C) and what the rounding left, exactly. */
function addExactly(X, C) {
  const pairs = X.map((row, i) => row.map((x, j) => twoSum(x, C[i][j])));
  return [0, 1].map((part) => pairs.map((row) => row.map((pair) => pair[part])));
}

/** One last step from X to Z = X + X (R + R² + …), and what is proven of Z. */
export function certify(A, X, rtol = 1e-6) {
  const n = A.length;
  const nothing = { Z: X, certified: false, residualBound: Infinity, errorBound: Infinity };
  if (!inRange(A) || !inRange(X)) return nothing;
  const { R, D } = residual(A, X);
  const both = R.map((row, i) => row.map((r, j) => Math.abs(r) + D[i][j]));
  const sums = both.map(sum);
  const alpha = up(Math.max(...sums));
  if (!(alpha < 1)) return { ...nothing, residualBound: alpha };
  const { Y, errors } = series(R, D, both);
  const [Z, last] = addExactly(X, product(X, Y));
  const ofSeries = times(X, errors);
  const ofProduct = times(X, Y.map(sum));
  const rest = remainder(X, both, sums, alpha);
  const rows = last.map((row, i) =>
    up(sum(row) + ofSeries[i] + gamma(n + 1) * ofProduct[i] + rest[i]),
  );
  const errorBound = Math.max(...rows);
  const relativeBound = up(errorBound / (norm(Z) * (1 - 2 ** -30)));
  // So close to a singular matrix that rounding A's own entries could reach it?
  const apart = up(2 * n * U * Math.max(...times(X, A.map(sum)))) < 1;
  const certified = apart && relativeBound <= rtol;
  return { Z, certified, residualBound: alpha, errorBound, relativeBound };
}
