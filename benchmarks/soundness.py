"""Hold every bound of `linalg.certificate` against exact rational arithmetic.

    python benchmarks/soundness.py --cases 250000 --markdown docs/soundness.md

Each case is a pair (A, X). Exact integers (python-flint) decide whether ‖I - XA‖inf and, where the
case is certified, ‖A^-1 - X‖inf stay within the bounds reported, and whether A is nonsingular. One
violation is one too many: the exit status is 1 then.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepmatrixinversion.linalg.certificate import Certificate
from deepmatrixinversion.linalg.certify import certify
from deepmatrixinversion.linalg.engine import invert
from page import arguments, records, write_page

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from oracle import violation
from soundness_cases import ADVERSARIES, EPS, approximate_inverse, matrices


class Tally(NamedTuple):
    """Counts of one family."""

    cases: int = 0
    certified: int = 0
    violations: tuple[str, ...] = ()

    def plus(self, A: np.ndarray, X: np.ndarray, proof: Certificate) -> Tally:
        """With a stack of cases more."""
        proven = self.certified + int(proof.certified.sum())
        return Tally(self.cases + len(A), proven, (*self.violations, *check(A, X, proof)))


def no_guess(S: np.ndarray) -> np.ndarray:
    """A guess of zeros: the engine then iterates from the transpose."""
    return np.zeros_like(S)


def cases(
    rng: np.random.Generator, k: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray, Certificate]]:
    """Families of pairs (A, X) with the certificates that the package gives them."""
    for family, A in matrices(rng, k):
        X = approximate_inverse(A)
        yield f"{family}; LAPACK's X", A, X, certify(A, X)
        inversion = invert(A, no_guess, A.shape[-1])
        yield f"{family}; engine's X", A, inversion.inverse, inversion.certificate
        for name in rng.choice(list(ADVERSARIES), 3, replace=False):
            with np.errstate(all="ignore"):
                Y = ADVERSARIES[name](rng, X)
            yield f"adversarial X: {name}", A, Y, certify(A, Y)
        if A.shape[-1] > 8:
            continue
        with np.errstate(all="ignore"):
            A32 = A.astype(np.float32)
        if np.isfinite(A32).all():
            X32 = invert(A32, no_guess, A.shape[-1])
            yield f"{family}; float32", A32, X32.inverse, X32.certificate
    n = int(rng.integers(1, 4))
    D = 2.0 ** rng.integers(-3, 4, (k, n))
    A = D[:, :, None] * np.eye(n)
    steps = rng.integers(-3, 4, (k, n)) * EPS
    for target in (0.0, 2.0, 1.0):
        X = ((target + steps) / D)[:, :, None] * np.eye(n)
        yield f"diagonal, residual |1 - {target:g} +- ulps|", A, X, certify(A, X)


def check(A: np.ndarray, X: np.ndarray, proof: Certificate) -> list[str]:
    """Violations among a stack's certificates."""
    found = (
        violation(a.astype(float), x.astype(float), bool(c), *map(float, bounds))
        for a, x, c, *bounds in zip(A, X, *proof, strict=True)
    )
    return [one for one in found if one]


def _flush() -> None:
    """Turn flush-to-zero and denormals-are-zero on, for good."""
    import torch

    if not torch.set_flush_denormal(True):
        raise RuntimeError("this processor cannot flush denormals")
    assert np.float64(2.0**-1022) * np.float64(0.5) == 0.0, "flush-to-zero is not on"


def flushed_certificates(pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[Certificate]:
    """`certify` of each pair in a process with flush-to-zero and denormals-are-zero on."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_flush) as pool:
        return list(pool.map(certify, *zip(*pairs, strict=True)))


def flushed_pairs(rng: np.random.Generator, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs rich in subnormal numbers."""
    pairs = []
    for n in (1, 2, 3, 5, 7):
        base = rng.uniform(-1, 1, (k, n, n)) + 2 * np.eye(n)
        for A in (
            base,
            base * 1e-307,
            base * 2e-308,
            base * 1e307,
            np.where(rng.random(base.shape) < 0.3, base * 1e-310, base),
            base * 10.0 ** rng.uniform(-160, 160, (k, n, 1)),
        ):
            X = approximate_inverse(A)
            pairs.append((A, X))
            with np.errstate(all="ignore"):
                pairs.append((A, np.where(rng.random(A.shape) < 0.3, X * 2.0**-1040, X)))
                A32, X32 = A.astype(np.float32), X.astype(np.float32)
            if np.isfinite(A32).all() and np.isfinite(X32).all():
                pairs.append((A32, X32))
    return pairs


def run(count: int, seed: int = 0, flushed: bool = True) -> dict[str, Tally]:
    """At least ``count`` cases, by family."""
    rng = np.random.default_rng(seed)
    tallies: dict[str, Tally] = defaultdict(Tally)
    if flushed:
        pairs = flushed_pairs(rng, max(2, count // 2000))
        for (A, X), proof in zip(pairs, flushed_certificates(pairs), strict=True):
            tallies["flush-to-zero on"] = tallies["flush-to-zero on"].plus(A, X, proof)
    while sum(t.cases for t in tallies.values()) < count:
        for family, A, X, proof in cases(rng, 16):
            tallies[family] = tallies[family].plus(A, X, proof)
    return tallies


def main() -> int:
    parser = arguments(__doc__, cases=200_000, seed=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    started = time.perf_counter()
    tallies = run(options.cases, options.seed)
    total = sum(t.cases for t in tallies.values())
    broken = [v for t in tallies.values() for v in t.violations]
    summary = {
        "cases": total,
        "certified": sum(t.certified for t in tallies.values()),
        "violations": len(broken),
        "seed": options.seed,
        "seconds": round(time.perf_counter() - started, 1),
        "families": {name: t._asdict() for name, t in sorted(tallies.items())},
    }
    everything = Tally(total, summary["certified"], tuple(broken))
    table = records(
        {
            "family": name,
            "cases": f"{t.cases:,}",
            "certified": f"{t.certified:,}",
            "violations": len(t.violations),
        }
        for name, t in [*sorted(tallies.items()), ("**all**", everything)]
    )
    write_page(options.markdown, "soundness", table=table)
    if options.json:
        options.json.write_text(json.dumps(summary, indent=1) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
