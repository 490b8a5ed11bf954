"""What ``dmxinvert`` can compute: inverses, pseudo-inverses, solutions of linear systems."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepmatrixinversion.cli.methods import NUMPY, choose_inverter, choose_method
from deepmatrixinversion.linalg.engine import Inversion
from deepmatrixinversion.linalg.pseudoinverse import pseudo_inverse
from deepmatrixinversion.reporting.metrics import frobenius_residuals, relative_residuals
from deepmatrixinversion.reporting.report import INVERSE, PSEUDOINVERSE, SOLUTION


class Answers(NamedTuple):
    """Answers to a block of matrices, none replaced yet, and a figure a matrix by column name."""

    X: NDArray
    columns: Mapping[str, NDArray]


class Inverses:
    """A⁻¹ with certificates."""

    wording = INVERSE

    def __init__(self, options: argparse.Namespace, shape: tuple[int, int]) -> None:
        self.invert: Callable[[NDArray], Inversion]
        self.invert, self.model = choose_method(options, shape[1])

    def answer(self, A: NDArray, B: NDArray | None) -> Answers:
        """Inverses of (b, n, n)."""
        X, certificate, steps = self.invert(A)
        columns = {
            "certified": certificate.certified,
            "residual": frobenius_residuals(A, X),
            "residual_bound": certificate.residual_bound,
            "error_bound": certificate.error_bound,
            "relative_error_bound": certificate.relative_error_bound,
            "steps": steps,
        }
        return Answers(X, columns)

    def instead(self, A: NDArray, B: NDArray | None) -> NDArray:
        """Pseudo-inverses."""
        return pseudo_inverse(A).pseudoinverse


class PseudoInverses:
    """A⁺ of any shape and rank, with rank and Penrose residuals; no network has a part in it."""

    wording = PSEUDOINVERSE
    model = None

    def __init__(self, options: argparse.Namespace, shape: tuple[int, int]) -> None:
        self._rtol = options.rtol

    def answer(self, A: NDArray, B: NDArray | None) -> Answers:
        """Pseudo-inverses (b, n, m) of (b, m, n)."""
        finite = np.isfinite(A).all(axis=(-2, -1))
        X = np.full((len(A), A.shape[2], A.shape[1]), np.nan, A.dtype)
        rank, penrose = np.full(len(A), -1), np.full((len(A), 4), np.inf)
        X[finite], rank[finite], penrose[finite] = pseudo_inverse(A[finite], self._rtol)
        columns = {
            "finite": finite,
            "residual": penrose[:, 0],
            "penrose": penrose.max(axis=1),
            "rank": rank,
        }
        return Answers(X, columns)

    def instead(self, A: NDArray, B: NDArray | None) -> NDArray:
        """NaN: what has no pseudo-inverse is not finite."""
        return np.full((len(A), A.shape[2], A.shape[1]), np.nan, A.dtype)


class Solutions:
    """Y with A Y = B, certified where each of its columns is."""

    wording = SOLUTION

    def __init__(self, options: argparse.Namespace, shape: tuple[int, int]) -> None:
        inverter = choose_inverter(options, shape[1])
        self._solve, self._rtol, self.model = inverter.solve_ex, options.rtol, inverter.model.name

    def answer(self, A: NDArray, B: NDArray | None) -> Answers:
        """Solutions (b, n, p)."""
        assert B is not None
        found = self._solve(A, B, rtol=self._rtol)
        columns = {
            "certified": found.certified.all(axis=-1),
            "residual": relative_residuals(A, found.solution, B),
            "relative_error_bound": found.relative_error_bound.max(axis=-1),
            "error_bound": found.error_bound.max(axis=-1),
            "steps": found.inversion.steps,
        }
        return Answers(found.solution, columns)

    def instead(self, A: NDArray, B: NDArray | None) -> NDArray:
        """Least-squares solutions of least norm."""
        return pseudo_inverse(A).pseudoinverse @ B


Kind = Inverses | PseudoInverses | Solutions
"""``answer`` to matrices (b, m, n), with right-hand sides (b, n, p) where there are any, and what
``--on_uncertified pinv`` writes ``instead``."""

KINDS: dict[str, type[Kind]] = {"inverse": Inverses, "pinv": PseudoInverses, "solve": Solutions}


def check_kind(options: argparse.Namespace) -> None:
    """Refuse options that say nothing to the kind that was asked for."""
    kind = options.kind
    if (options.rhs is None) == (kind == "solve"):
        raise ValueError(
            "--kind solve needs right-hand sides: give --rhs FILE"
            if kind == "solve"
            else f"--rhs is for --kind solve, not for {kind}"
        )
    if kind == "inverse":
        return
    unfit = {"--raw": options.raw, f"--invert_mode {NUMPY}": options.invert_mode == NUMPY}
    unfit["--tol"] = options.tol is not None
    if kind == "pinv":
        unfit["--model"] = options.model is not None
        unfit["--on_uncertified"] = options.on_uncertified is not None
    for option, given in unfit.items():
        if given:
            raise ValueError(f"{option} says nothing to --kind {kind}: leave it out")


WRITTEN = {"nan": "NaN", "keep": "the best candidate", "pinv": "the pseudo-inverse"}
"""In place of an answer that is not proven, by ``--on_uncertified``."""


def replacement(options: argparse.Namespace) -> str:
    """A key of `WRITTEN`."""
    return options.on_uncertified or ("keep" if options.raw else "nan")


def status(options: argparse.Namespace, not_finite: int) -> int:
    """The exit status where not all answers are proven.

    ``--raw`` asks for the network's own ones, whatever they are worth; unless NaN was asked for.
    """
    how = replacement(options)
    wanted = how == "pinv" or (options.raw and how == "keep")
    return 1 if not_finite or not wanted else 0


def replaced(
    kind: Kind, X: NDArray, good: NDArray[np.bool_], A: NDArray, B: NDArray | None, how: str
) -> tuple[NDArray, NDArray[np.bool_]]:
    """The answers to write, and which of them are worth comparing with a target.

    Those that are not good are replaced by NaN, kept, or replaced by the pseudo-inverse's answer.
    """
    if how == "keep" or good.all():
        return X, np.ones(len(good), dtype=bool)
    X = X.copy()
    X[~good] = np.nan
    if how == "nan":
        return X, good
    others = ~good & np.isfinite(A).all(axis=(-2, -1))
    if B is not None:
        others &= np.isfinite(B).all(axis=(-2, -1))
    X[others] = kind.instead(A[others], None if B is None else B[others])
    return X, np.ones(len(good), dtype=bool)
