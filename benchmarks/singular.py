"""Pseudo-inverses of singular and rectangular matrices, against the truth.

    python benchmarks/singular.py --markdown docs/singular.md --plot docs/singular.png

Matrices are products of integer factors, so their rank is exact, and so is their Moore-Penrose
inverse in rational arithmetic: A⁺ = Cᵀ (Bᵀ A Cᵀ)⁻¹ Bᵀ for a full-rank factorisation A = B C. The
peer is NumPy's pinv. None may be certified as invertible.
"""

from __future__ import annotations

from typing import NamedTuple

import flint
import numpy as np

from deepmatrixinversion import inv_ex, pinv_ex
from deepmatrixinversion.matrices.datasets import singular_pairs
from deepmatrixinversion.reporting.figure_files import save_figure
from deepmatrixinversion.reporting.metrics import ErrorAccumulator
from deepmatrixinversion.reporting.plots import answers_against_true
from page import arguments, records, write_page

SHAPES = ((3, 3), (5, 5), (8, 8), (16, 16), (32, 32), (64, 64), (3, 7), (20, 6), (64, 24), (40, 64))
SIGMA_MIN = 1e-6


class Row(NamedTuple):
    """Matrices of one shape: how many ranks are right, and how near the pseudo-inverses are."""

    shape: str
    matrices: int
    ranks_right: int
    numpy_ranks_right: int
    certified: int
    r2: float
    worst_error: float
    numpy_worst_error: float
    penrose: float


def exact_pinv(B: np.ndarray, C: np.ndarray) -> np.ndarray:
    """The Moore-Penrose inverse of B C, both of full rank and integer, rounded to float64."""
    b, c = (flint.fmpq_mat(flint.fmpz_mat(M.astype(int).tolist())) for M in (B, C))
    bt, ct = b.transpose(), c.transpose()
    X = ct * (bt * (b * c) * ct).inv() * bt
    return np.array(
        [[int(X[i, j].p) / int(X[i, j].q) for j in range(X.ncols())] for i in range(X.nrows())]
    )


def matrices(
    p: int, q: int, rng: np.random.Generator, each: int
) -> tuple[list[np.ndarray], list[np.ndarray], list[int]]:
    """Integer matrices of every rank (or a spread of ranks), with pseudo-inverses and ranks."""
    least = min(p, q)
    ranks = sorted({round(r) for r in np.linspace(0, least, min(least + 1, 9))})
    A, target, rank = [], [], []
    for r in np.repeat(ranks, each).tolist():
        B = rng.integers(-9, 10, (p, r)).astype(float)
        C = rng.integers(-9, 10, (r, q)).astype(float)
        if r:
            sigma = np.linalg.svd(B @ C, compute_uv=False)
            full = min(np.linalg.matrix_rank(B), np.linalg.matrix_rank(C)) == r
            if not full or sigma[r - 1] < SIGMA_MIN * sigma[0]:
                continue
        A.append(B @ C)
        target.append(exact_pinv(B, C) if r else np.zeros((q, p)))
        rank.append(r)
    return A, target, rank


def relative(X: np.ndarray, target: np.ndarray) -> np.ndarray:
    """‖X - A⁺‖F / ‖A⁺‖F of each, absolute where A⁺ = 0."""
    size = np.linalg.norm(target, axis=(-2, -1))
    return np.linalg.norm(X - target, axis=(-2, -1)) / np.where(size > 0, size, 1)


def measure(name: str, A: np.ndarray, target: np.ndarray, rank: np.ndarray) -> Row:
    """Compare pinv_ex and NumPy's pinv with the truth."""
    result = pinv_ex(A)
    errors = ErrorAccumulator()
    errors.add(result.pseudoinverse, target)
    rtol = max(A.shape[-2:]) * np.finfo(float).eps
    square = A.shape[-1] == A.shape[-2]
    deficient = rank < min(A.shape[-2:])
    certified = inv_ex(A[deficient]).certificate.certified.sum() if square else 0
    return Row(
        name,
        len(A),
        int((result.rank == rank).sum()),
        int((np.linalg.matrix_rank(A) == rank).sum()),
        int(certified),
        errors.statistics().r2,
        float(relative(result.pseudoinverse, target).max()),
        float(relative(np.linalg.pinv(A, rtol=rtol), target).max()),
        float(result.penrose.max()),
    )


def main() -> None:
    """Measure, print and write what was asked for."""
    options = arguments(__doc__, seed=2026, each=20).parse_args()
    rng = np.random.default_rng(options.seed)
    rows = []
    blocks = list(singular_pairs(rng, 10_000, 3, -1.0, 1.0))
    A = np.concatenate([b.matrices for b in blocks])
    target = np.concatenate([b.targets for b in blocks])
    rank = np.rint(np.trace(A @ target, axis1=1, axis2=2)).astype(int)
    rows.append(measure("3x3, random real factors", A, target, rank))
    if options.plot:
        title = "Singular 3x3 matrices: pinv against the Moore-Penrose inverse"
        X = pinv_ex(A).pseudoinverse
        figure = answers_against_true(A, X, target, title=title, name="pseudo-inverse")
        save_figure(figure, options.plot)
    for p, q in SHAPES:
        parts = matrices(p, q, rng, options.each)
        A, target, rank = (np.array(part) for part in parts)
        rows.append(measure(f"{p}x{q}, integer factors", A, target, rank))
        print(rows[-1], flush=True)
    table = records(
        {
            "matrices": r.shape,
            "number": r.matrices,
            "ranks right": r.ranks_right,
            "ranks right, NumPy": r.numpy_ranks_right,
            "certified as invertible": r.certified,
            "R2": "1" if r.r2 == 1 else f"1 - {1 - r.r2:.0e}",
            "worst relative error": f"{r.worst_error:.1e}",
            "worst relative error, NumPy": f"{r.numpy_worst_error:.1e}",
            "worst Penrose residual": f"{r.penrose:.1e}",
        }
        for r in rows
    )
    write_page(options.markdown, "singular", table=table)


if __name__ == "__main__":
    main()
