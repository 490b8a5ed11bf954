// Rational arithmetic in BigInt: every float64 is an integer times a power of two, so the inverse of a
// matrix of floats is a matrix of fractions, found here without rounding.

const view = new DataView(new ArrayBuffer(8));

/** [m, e] with x = m 2^e, m a BigInt, for a finite x. */
export function parts(x) {
  view.setFloat64(0, x);
  const high = view.getUint32(0);
  const exponent = (high >>> 20) & 0x7ff;
  const fraction = (BigInt(high & 0xfffff) << 32n) | BigInt(view.getUint32(4));
  const m = exponent ? fraction | (1n << 52n) : fraction;
  return [high >>> 31 ? -m : m, Math.max(exponent, 1) - 1075];
}

/** x 2^e in steps, so that a factor never overflows before the result does. */
export function timesPower(x, e) {
  for (; e > 1000; e -= 1000) x *= 2 ** 1000;
  for (; e < -1000; e += 1000) x *= 2 ** -1000;
  return x * 2 ** e;
}

const bits = (p) => (p < 0n ? -p : p).toString(2).length;

/** The float64 next to p/q 2^e (but for the last bit of subnormal results). */
export function toNumber(p, q, e = 0) {
  if (p === 0n) return 0;
  if (q < 0n) [p, q] = [-p, -q];
  const shift = 66 + bits(q) - bits(p); // the quotient has at least 65 bits
  const [a, b] = shift >= 0 ? [p << BigInt(shift), q] : [p, q << BigInt(-shift)];
  let quotient = a / b;
  // What the division left stands in one more bit, so that rounding knows of it.
  quotient = 2n * quotient + (a % b === 0n ? 0n : p < 0n ? -1n : 1n);
  return timesPower(Number(quotient), e - shift - 1);
}

/** Fraction-free Gauss-Jordan elimination of [B | I]: {det, adjugate} of an integer matrix. */
function eliminate(B) {
  const n = B.length;
  const M = B.map((row, i) => [...row, ...row.map((_, j) => (i === j ? 1n : 0n))]);
  let before = 1n;
  let sign = 1n;
  for (let k = 0; k < n; k++) {
    const p = M.findIndex((row, i) => i >= k && row[k] !== 0n);
    if (p < 0) return { det: 0n };
    if (p !== k) [M[k], M[p], sign] = [M[p], M[k], -sign];
    const pivot = M[k][k];
    for (let i = 0; i < n; i++) {
      if (i === k) continue;
      const f = M[i][k];
      for (let j = 0; j < 2 * n; j++) M[i][j] = (pivot * M[i][j] - f * M[k][j]) / before;
    }
    before = pivot;
  }
  // Every diagonal entry is now the determinant, but for the sign of the exchanges.
  return { det: sign * before, diagonal: before, right: M.map((row) => row.slice(n)) };
}

/** The exact inverse of an n x n array of rows: null if singular, else fractions p[i][j]/q 2^e. */
export function exactInverse(A) {
  const all = A.map((row) => row.map(parts));
  const smallest = Math.min(...all.flat().filter(([m]) => m).map(([, e]) => e));
  if (!Number.isFinite(smallest)) return null;
  const B = all.map((row) => row.map(([m, e]) => (m ? m << BigInt(e - smallest) : 0n)));
  const { det, diagonal, right } = eliminate(B);
  return det === 0n ? null : { p: right, q: diagonal, e: -smallest };
}

/** The exact inverse, each entry rounded once. */
export function rounded({ p, q, e }) {
  return p.map((row) => row.map((entry) => toNumber(entry, q, e)));
}

/** |X - A^-1| entry by entry: differences of fractions, rounded only to be shown. */
export function trueErrors(X, { p, q, e }) {
  return X.map((row, i) =>
    row.map((x, j) => {
      const [m, f] = parts(x);
      // x - p/q 2^e = (m q 2^(f-s) - p 2^(e-s)) / q 2^s
      const s = Math.min(f, e);
      const difference = ((m * q) << BigInt(f - s)) - (p[i][j] << BigInt(e - s));
      return Math.abs(toNumber(difference, q, s));
    }),
  );
}
