// From a guess to an inverse by Newton-Schulz steps X <- X + X (I - A X), in float64.

import { certify, frobenius, product, residual } from "./certificate.mjs";
import { timesPower } from "./exact.mjs";

const MOST_STEPS = 120;

/** A 2^-k and k, with the largest entry between 1/2 and 1: exact, so nothing is lost. */
export function scaled(A) {
  const largest = Math.max(...A.flat().map(Math.abs));
  const k = largest > 0 ? Math.floor(Math.log2(largest)) + 1 : 0;
  return { S: A.map((row) => row.map((x) => timesPower(x, -k))), k };
}

/** A^T / (‖A‖_1 ‖A‖_inf), from which the steps converge for every invertible matrix. */
export function fromTranspose(A) {
  const rows = A.map((row) => row.reduce((t, x) => t + Math.abs(x), 0));
  const columns = A[0].map((_, j) => A.reduce((t, row) => t + Math.abs(row[j]), 0));
  const scale = 1 / (Math.max(...rows) * Math.max(...columns));
  return A[0].map((_, j) => A.map((row) => row[j] * scale));
}

function step(X, R) {
  const C = product(X, R);
  return X.map((row, i) => row.map((x, j) => x + C[i][j]));
}

/** Every step with its residual: [{label, X, R, size}], the guess first. */
export function refine(S, guess) {
  const look = (label, X) => {
    const { R } = residual(S, X);
    return { label, X, R, size: frobenius(R) };
  };
  const steps = [look("the network’s guess", guess)];
  if (!(steps[0].size < 1)) steps.push(look("no use: from the transpose", fromTranspose(S)));
  for (let k = 1; k <= MOST_STEPS; k++) {
    const last = steps[steps.length - 1];
    const next = look(`step ${k}`, step(last.X, last.R));
    if (!Number.isFinite(next.size)) break;
    // Below 1/2 a step halves it at least: where it does not, what is left is rounding.
    if (last.size < 0.5 && next.size > last.size / 2) break;
    steps.push(next);
  }
  return steps;
}

/** Everything that the page shows, but for the exact inverse: of A itself, scaling undone. */
export function invert(A, k, guess, S) {
  const steps = refine(S, guess);
  const found = certify(S, steps[steps.length - 1].X);
  const inverse = found.Z.map((row) => row.map((x) => timesPower(x, -k)));
  // Where a power of two rounds, at the ends of the range, what was proven is not of this array.
  const exact = inverse.every((row, i) => row.every((x, j) => timesPower(x, k) === found.Z[i][j]));
  return {
    steps,
    inverse,
    ...found,
    certified: found.certified && exact,
    errorBound: exact ? timesPower(found.errorBound, -k) : Infinity,
  };
}
