"""How far the certified inverse reaches: order, scale, structure; its true error against LAPACK's.

    python benchmarks/reach.py --markdown docs/reach.md --plot docs/reach.png

The truth is A⁻¹ improved by Newton steps whose residuals are exact to 2^-64 (numpy.longdouble,
orders above 32) or rational (python-flint): far more digits than either contender has. Both invert
the same matrix; the error is ‖X - A⁻¹‖F / ‖A⁻¹‖F.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flint
import numpy as np

from curves import note
from deepmatrixinversion import inv_ex
from deepmatrixinversion.matrices.spectra import with_condition
from deepmatrixinversion.reporting.figure_files import save_figure
from page import arguments, panels, records, write_page

ORDERS = (1, 2, 3, 5, 8, 13, 16, 32, 64, 100, 256, 512, 1000)
KAPPA = 1e10


class Case(NamedTuple):
    """One matrix: its errors are relative, in the Frobenius norm."""

    family: str
    order: int
    condition: float
    certified: bool
    error: float
    lapack: float
    bound_holds: bool


def count(n: int, scale: float) -> int:
    """Matrices of a family at order n: as many as a few seconds allow."""
    return max(1, int(scale * min(200, 4e4 / n**1.75)))


def rational(A: np.ndarray) -> flint.fmpq_mat:
    """The same matrix, exactly."""
    return flint.fmpq_mat(
        [[flint.fmpq(*float(v).as_integer_ratio()) for v in row] for row in A.tolist()]
    )


def truth(A: np.ndarray) -> np.ndarray:
    """A⁻¹ as numpy.longdouble, correct to about 2^-64 (order <= 32) or kappa 2^-64."""
    n = len(A)
    if n <= 32:
        inverse = rational(A).inv()
        return np.array([[_longdouble(inverse[i, j]) for j in range(n)] for i in range(n)])
    L = A.astype(np.longdouble)
    X = np.linalg.inv(A).astype(np.longdouble)
    for _ in range(2):
        R = np.eye(n, dtype=np.longdouble) - L @ X
        # R is small: its product with X needs only its leading digits.
        X = X + (X.astype(float) @ R.astype(float)).astype(np.longdouble)
    return X


def _longdouble(q: flint.fmpq) -> np.longdouble:
    high = float(int(q.p) / int(q.q)) if q.q else np.inf
    rest = q - flint.fmpq(*high.as_integer_ratio())
    return np.longdouble(high) + np.longdouble(int(rest.p) / int(rest.q))


def error(X: np.ndarray, inverse: np.ndarray) -> float:
    """‖X - A⁻¹‖F / ‖A⁻¹‖F, scaled so that nothing overflows."""
    largest = np.abs(inverse).max()
    D, N = (X - inverse) / largest, inverse / largest
    return float(np.sqrt((D * D).sum()) / np.sqrt((N * N).sum()))


def families(n: int, rng: np.random.Generator, scale: float) -> Iterator[tuple[str, np.ndarray]]:
    """Named matrices of order n."""
    k = count(n, scale)
    yield from (("uniform", A) for A in rng.uniform(-1, 1, (k, n, n)))
    yield from (("normal", A) for A in rng.standard_normal((k, n, n)))
    for power in (-1000, -500, 500, 990):  # 1e-301 to 1e298
        yield "scaled", np.ldexp(rng.uniform(-1, 1, (n, n)), power)
    for name, make in STRUCTURED.items():
        yield name, make(n, rng)


def _halves_exchanged(n: int, rng: np.random.Generator) -> np.ndarray:
    i, h = np.arange(n), n // 2
    return np.eye(n)[np.r_[i[n - h :], i[h : n - h], i[:h]]]


def _companion(n: int, rng: np.random.Generator) -> np.ndarray:
    A = np.eye(n, k=-1)
    A[0] = rng.uniform(-1, 1, n)
    A[0, -1] = rng.choice([-1, 1]) * rng.uniform(0.5, 1)
    return A


def _frank(n: int, rng: np.random.Generator) -> np.ndarray:
    i, j = np.indices((n, n))
    return np.where(j >= i - 1, n - np.maximum(i, j), 0).astype(float)


def _kahan(n: int, rng: np.random.Generator) -> np.ndarray:
    c, s = np.cos(1.2), np.sin(1.2)
    return s ** np.arange(n)[:, None] * (np.eye(n) - c * np.triu(np.ones((n, n)), 1))


def _pascal(n: int, rng: np.random.Generator) -> np.ndarray:
    A = np.ones((n, n))
    for i in range(1, n):
        A[i, 1:] = np.cumsum(A[i - 1])[1:]
    return A if np.isfinite(A).all() else np.eye(n)


STRUCTURED: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "[[0, I], [I, 0]]": _halves_exchanged,
    "permutation": lambda n, rng: np.eye(n)[rng.permutation(n)],
    "orthogonal": lambda n, rng: with_condition(rng, n, 1.0),
    "companion": _companion,
    "Frank": _frank,
    "Kahan": _kahan,
    "Pascal": _pascal,
}


def measure(name: str, A: np.ndarray) -> Case | None:
    """Invert by both; None where the condition number is beyond what float64 can be asked."""
    n = len(A)
    scaled = np.ldexp(A, -int(np.frexp(np.abs(A).max())[1]))
    condition = float(np.linalg.cond(scaled)) if n > 1 else 1.0
    if not condition < 1e15:
        return None
    result = inv_ex(A)
    inverse = truth(A)
    difference = np.abs(result.inverse - inverse).sum(axis=1).max()
    slack = 2.0**-60 * (condition if n > 32 else 1.0) * np.abs(inverse).sum(axis=1).max()
    return Case(
        name,
        n,
        condition,
        bool(result.certificate.certified),
        error(result.inverse, inverse),
        error(np.linalg.inv(A), inverse),
        # Bounds are so close to the errors that the truth's own error could tip the scale.
        bool(difference <= np.longdouble(result.certificate.error_bound) + slack),
    )


def rows(cases: list[Case]) -> str:
    """One row a family and order."""
    groups: dict[tuple[str, int], list[Case]] = {}
    for case in cases:
        key = (case.family if case.family not in STRUCTURED else "structured", case.order)
        groups.setdefault(key, []).append(case)
    return records(row(*key, groups[key]) for key in sorted(groups))


def row(family: str, order: int, group: list[Case]) -> dict[str, Any]:
    """Its cells; those of errors are empty where nothing is within reach."""
    easy = [c for c in group if c.condition <= KAPPA]
    cells = {
        "family": family,
        "order": order,
        "matrices": len(group),
        "kappa, largest": f"{max(c.condition for c in group):.1e}",
        "certified, kappa <= 1e10": f"{sum(c.certified for c in easy)} of {len(easy)}",
        "median error": f"{np.median([c.error for c in group]):.1e}",
        "LAPACK's": f"{np.median([c.lapack for c in group]):.1e}",
        "ratio, worst": f"{max((ratio(c) for c in easy), default=0):.2f}",
    }
    return cells if easy else cells | dict.fromkeys(list(cells)[3:], "-")


def ratio(case: Case) -> float:
    """Error over LAPACK's, both at least the roundoff unit: exact answers are no contest."""
    u = 2.0**-53
    return max(case.error, u) / max(case.lapack, u)


def verdict(cases: list[Case]) -> str:
    """The three questions and their answers."""
    easy = [c for c in cases if c.condition <= KAPPA]
    if not easy:
        return "- No matrix with kappa <= 1e10."
    ratios = np.array([ratio(c) for c in easy])
    missed = [c for c in easy if not c.certified]
    beyond = [c for c in easy if ratio(c) > 4]
    lines = [
        f"- Certified: {len(easy) - len(missed)} of {len(easy)} matrices with kappa <= 1e10"
        + "".join(f"; missed: {c.family} {c.order} (kappa {c.condition:.1e})" for c in missed[:5])
        + f"; beyond, {sum(c.certified for c in cases) - len(easy) + len(missed)} of "
        f"{len(cases) - len(easy)}.",
        f"- Error bounds that hold: {sum(c.bound_holds for c in cases if c.certified)} of "
        f"{sum(c.certified for c in cases)}.",
        f"- True error over LAPACK's: median {np.median(ratios):.2f}, worst {ratios.max():.2f}"
        + "".join(f"; above 4: {c.family} {c.order} ({ratio(c):.1f})" for c in beyond[:8])
        + ".",
    ]
    return "\n".join(lines)


def draw(cases: list[Case], where: str) -> None:
    """Error of both against the condition number."""
    figure, (left, right) = panels(12, 5.5, columns=2)
    condition = [c.condition for c in cases]
    exact = 1e-18  # where errors of 0 are drawn
    for name, errors, style in (
        ("LAPACK", [c.lapack for c in cases], "C0o"),
        ("inv_ex (certified)", [c.error for c in cases], "C1."),
    ):
        left.loglog(condition, np.maximum(errors, exact), style, alpha=0.4, mfc="none", label=name)
    note(left, exact, "0, or below 1e-18")
    left.set(
        xlabel="condition number (2-norm, dimensionless)",
        ylabel="‖X - A⁻¹‖F / ‖A⁻¹‖F (dimensionless)",
        title="true error",
    )
    easy = [c for c in cases if c.condition <= KAPPA]
    spread = np.random.default_rng(0).uniform(0.94, 1.06, len(easy))  # so that points show
    right.loglog(spread * [c.order for c in easy], [ratio(c) for c in easy], ".", alpha=0.3)
    note(right, 1, "both below the roundoff unit, or alike")
    right.axhline(4, color="#d95f02", linestyle="--", label="4 times LAPACK's")
    right.set(xlabel="order", ylabel="error over LAPACK's", title="kappa <= 1e10, matrix by matrix")
    left.legend()
    right.legend()
    figure.suptitle("Certified inverse against LAPACK")
    save_figure(figure, where)


def main() -> None:
    """Measure, print and write what was asked for."""
    options = arguments(__doc__, seed=2026, scale=1.0, largest=max(ORDERS)).parse_args()
    start = time.monotonic()
    cases = []
    for n in (n for n in ORDERS if n <= options.largest):
        rng = np.random.default_rng([options.seed, n])
        measured = [measure(name, A) for name, A in families(n, rng, options.scale)]
        cases += [c for c in measured if c is not None]
        print(f"order {n}: {len(cases)} cases, {time.monotonic() - start:.0f} s", flush=True)
    write_page(options.markdown, "reach", verdict=verdict(cases), table=rows(cases))
    if options.plot:
        draw(cases, options.plot)


if __name__ == "__main__":
    main()
