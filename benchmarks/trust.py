"""True errors of a million certified inverses, family by family, against LAPACK's.

    python benchmarks/trust.py --markdown docs/trust.md --plot docs/trust.png

The truth is the inverse in ball arithmetic (python-flint's ``arb_mat``, some hundred digits).
Errors are in the infinity norm, relative to the inverse's; u is the roundoff unit of the input's
dtype, and float32 is compared with LAPACK in float32. A certified inverse is to be no worse than
four times LAPACK's error or 16 u, whichever is larger, and its bound is to hold.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import flint
import numpy as np

from curves import note
from deepmatrixinversion import inv_ex
from deepmatrixinversion.inference.numpy_mode import numpy_inverse
from deepmatrixinversion.linalg.scaling import Scaled
from deepmatrixinversion.reporting.figure_files import save_figure
from page import arguments, panels, records, write_page
from trust_families import FAMILIES

# Matrices of each family at each order, in each of float64 and float32, for --scale 1.
COUNTS = {1: 100, 2: 3200, 3: 2400, 4: 1200, 5: 500, 6: 300, 8: 250, 12: 40, 16: 24, 32: 4, 64: 1}
UNIT = {np.dtype(np.float64): 2.0**-53, np.dtype(np.float32): 2.0**-24}
REACHES = {dtype: np.array([1e10, 1e12]) * 2.0**-53 / u for dtype, u in UNIT.items()}
FEW = 30
"""Of fewer matrices of like condition no quantiles are drawn."""
DRAWN_LEAST = 2.0**-60


class Result(NamedTuple):
    """One stack: a value a matrix, (k,) each."""

    condition: np.ndarray  # of the matrix with rows and columns scaled evenly, 2-norm
    certified: np.ndarray
    error: np.ndarray
    lapack: np.ndarray
    bound: np.ndarray  # relative to the true inverse's norm


def joined(results: Iterable[Result]) -> Result:
    """Several stacks as one."""
    return Result(*(np.concatenate(column) for column in zip(*results, strict=True)))


def row_norm(M: flint.arb_mat) -> float:
    """Infinity norm, the middle of the ball."""
    entries, n = M.entries(), M.ncols()
    sums = (
        sum(map(abs, entries[i : i + n]), start=flint.arb(0)) for i in range(0, len(entries), n)
    )
    return max(float(total.mid()) for total in sums)


def truth(A: np.ndarray) -> tuple[flint.arb_mat, float]:
    """The inverse with all digits that matter, and its infinity norm."""
    n = len(A)
    flint.ctx.prec = 400 + 16 * n
    inverse = flint.arb_mat(n, n, A.ravel().tolist()).inv()
    return inverse, row_norm(inverse)


def distance(inverse: flint.arb_mat, X: np.ndarray) -> float:
    """‖A^-1 - X‖inf; inf where X is not finite."""
    if not np.isfinite(X).all():
        return float("inf")
    n = len(X)
    return row_norm(inverse - flint.arb_mat(n, n, X.ravel().tolist()))


def measure(A: np.ndarray) -> Result:
    """Both contenders and the truth for a stack."""
    result = inv_ex(A)
    with np.errstate(all="ignore"):
        theirs = numpy_inverse(A)
        S = Scaled.of(A.astype(np.float64)).S.matrices()
        sigma = np.linalg.svd(S, compute_uv=False)
        condition = sigma[:, 0] / sigma[:, -1]
    error, lapack = np.full(len(A), np.inf), np.full(len(A), np.inf)
    bound = np.full(len(A), np.inf)
    for i, a in enumerate(A.astype(np.float64)):
        try:
            inverse, norm = truth(a)
        except ZeroDivisionError:  # singular, or beyond even these digits
            continue
        error[i] = distance(inverse, result.inverse[i].astype(np.float64)) / norm
        lapack[i] = distance(inverse, theirs[i].astype(np.float64)) / norm
        bound[i] = float(result.certificate.error_bound[i]) / norm
    return Result(condition, result.certificate.certified, error, lapack, bound)


def stacks(scale: float, seed: int, largest: int) -> Iterator[tuple[str, np.dtype, int, Result]]:
    """Every family at every order in both dtypes."""
    for number, (name, family) in enumerate(FAMILIES.items()):
        for n, count in COUNTS.items():
            if n > largest:
                continue
            k = max(1, int(count * scale))
            for dtype in UNIT:
                rng = np.random.default_rng([seed, number, n, dtype.itemsize])
                with np.errstate(all="ignore"):
                    A = family(rng, k, n).astype(dtype)
                A = A[np.isfinite(A).all(axis=(1, 2))]
                yield name, dtype, n, measure(A)


class Tally(NamedTuple):
    """What one family in one dtype came to."""

    matrices: int
    worse: int
    violated: int
    share: tuple[float, ...]
    beyond: float
    worst: float
    median: float
    tight: float


def tally(results: list[Result], dtype: np.dtype) -> Tally:
    """The figures of a row."""
    condition, certified, error, lapack, bound = joined(results)
    u = UNIT[dtype]
    limit = np.maximum(4 * lapack, 16 * u)
    worse = certified & ~(error <= limit)
    # Errors and bounds are rounded to float64 here: 1e-12 of them is nothing.
    violated = (bound < np.inf) & ~(error <= bound * (1 + 1e-12))
    easy, hard = REACHES[dtype]

    def share(which: np.ndarray) -> float:
        return float(certified[which].mean()) if which.any() else float("nan")

    known = certified & (error > 0) & (condition <= easy)
    return Tally(
        len(error),
        int(worse.sum()),
        int(violated.sum()),
        (share(condition <= easy), share(condition <= hard)),
        share(condition > hard),
        float((error[certified] / limit[certified]).max(initial=0.0)),
        float(np.median(error[certified]) / u) if certified.any() else float("nan"),
        float(np.median(bound[known] / error[known])) if known.any() else 1.0,
    )


def percent(share: float) -> str:
    """A share, exactly 100 only where it is."""
    if np.isnan(share):
        return "-"
    return "100" if share == 1 else f"{min(100 * share, 99.99):.2f}"


def row(name: str, dtype: np.dtype, t: Tally) -> dict[str, Any]:
    """Of one family and dtype."""
    return {
        "family": name,
        "dtype": dtype,
        "matrices": t.matrices,
        "worse than allowed": t.worse,
        "bounds violated": t.violated,
        "certified, easy, %": percent(t.share[0]),
        "certified, hard, %": percent(t.share[1]),
        "beyond, %": percent(t.beyond),
        "error over allowed, worst": f"{t.worst:.2g}",
        "error / u, median": f"{t.median:.2g}",
        "bound over error, median": f"{t.tight:.3f}",
    }


def of_dtype(results: dict[tuple[str, np.dtype], list[Result]], dtype: np.dtype) -> list[Result]:
    """Those of all families."""
    return [r for (_, d), group in results.items() if d == dtype for r in group]


def verdict(results: dict[tuple[str, np.dtype], list[Result]], tallies: dict) -> str:
    """The whole in four lines."""
    total = sum(t.matrices for t in tallies.values())
    lines = [
        f"- Matrices: {total:,} of {len({name for name, _ in tallies})} families.",
        f"- Certified and worse than max(4 times LAPACK's error, 16 u): "
        f"{sum(t.worse for t in tallies.values())}.",
        f"- Bounds violated: {sum(t.violated for t in tallies.values())}.",
    ]
    for dtype, reaches in REACHES.items():
        condition, certified, *_ = joined(of_dtype(results, dtype))
        parts = [
            f"{certified[condition <= limit].sum():,} of {(condition <= limit).sum():,} with an "
            f"equilibrated condition number of at most {limit:.1e}"
            for limit in reaches
        ]
        lines.append(f"- Certified in {dtype}: {'; '.join(parts)}.")
    return "\n".join(lines)


def draw(results: dict[tuple[str, np.dtype], list[Result]], where: str) -> None:
    """Errors of both against the condition number, float64, and the share certified."""
    condition, certified, error, lapack, _ = joined(of_dtype(results, np.dtype(np.float64)))
    figure, (left, right) = panels(12, 5, columns=2)
    edges = np.logspace(0, 16, 33)
    which = np.digitize(condition, edges) - 1
    centres = np.sqrt(edges[1:] * edges[:-1])
    for values, label, colour in (
        (lapack, "numpy.linalg.inv", "#7f7f7f"),
        (np.where(certified, error, np.nan), "inv_ex, certified", "#1b6ca8"),
    ):
        rows = []
        for b in range(len(centres)):
            part = values[(which == b) & np.isfinite(values)]
            few = part.size < FEW
            quantiles = [np.nan] * 3 if few else np.quantile(part, [0.01, 0.5, 0.99])
            rows.append(np.maximum(quantiles, DRAWN_LEAST))
        low, middle, high = np.array(rows).T
        left.loglog(centres, middle, color=colour, label=f"{label}: median, 1 % to 99 %")
        left.fill_between(centres, low, high, color=colour, alpha=0.25)
    note(left, DRAWN_LEAST, "0, or below 2^-60")
    left.set(ylabel="‖A⁻¹ - X‖ / ‖A⁻¹‖ (dimensionless)", title="true error, float64")
    share = [
        certified[which == b].mean() if (which == b).sum() >= FEW else np.nan
        for b in range(len(centres))
    ]
    right.semilogx(centres, 100 * np.array(share), "o-", color="#1b6ca8")
    right.set(ylabel="certified (%)", ylim=(-3, 103), title="share certified, float64")
    for axes in (left, right):
        axes.set(xlabel="condition number, rows and columns scaled evenly (dimensionless)")
    left.legend()
    save_figure(figure, where)


def main() -> None:
    """Measure, print and write what was asked for."""
    options = arguments(__doc__, seed=9, scale=1.0, largest=max(COUNTS)).parse_args()
    start = time.monotonic()
    results: dict[tuple[str, np.dtype], list[Result]] = {}
    for name, dtype, n, result in stacks(options.scale, options.seed, options.largest):
        results.setdefault((name, dtype), []).append(result)
        if n == min(options.largest, max(COUNTS)) and dtype == np.float32:
            print(f"{time.monotonic() - start:6.0f} s  {name}", file=sys.stderr, flush=True)
    tallies = {key: tally(group, key[1]) for key, group in results.items()}
    table = records(row(*key, t) for key, t in tallies.items())
    write_page(options.markdown, "trust", verdict=verdict(results, tallies), table=table)
    if options.plot:
        draw(results, options.plot)


if __name__ == "__main__":
    main()
