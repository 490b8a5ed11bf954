"""``dmxdatasetgenerator``: four files of random matrices and their (pseudo-)inverses."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from deepmatrixinversion.cli.program import (
    Parser,
    finite_float,
    non_negative_int,
    positive_int,
    run,
)
from deepmatrixinversion.matrices import MatrixWriter
from deepmatrixinversion.matrices.datasets import DET_MIN, Pairs, invertible_pairs, singular_pairs
from deepmatrixinversion.matrices.distributions import DISTRIBUTIONS
from deepmatrixinversion.reporting.progress import counting_progress

FORMATS = ("mx", "csv", "npy", "npz", "safetensors")


def parser() -> Parser:
    """The command's arguments."""
    p = Parser(
        prog="dmxdatasetgenerator",
        description="Write SAMPLES random matrices and their inverses, and as many singular "
        "matrices and their Moore-Penrose inverses, to four files named after PREFIX.",
        epilog="The same command writes the same files, until --seed changes.",
    )
    p.add_argument("size", metavar="SIZE", type=positive_int, help="order of the matrices")
    p.add_argument("samples", metavar="SAMPLES", type=positive_int, help="matrices in each file")
    p.add_argument("min", metavar="MIN", type=finite_float, help="lower end of the range")
    p.add_argument("max", metavar="MAX", type=finite_float, help="upper end of the range")
    p.add_argument("prefix", metavar="PREFIX", help="how the names of the four files begin")
    p.add_argument("--seed", type=non_negative_int, default=0, help="another seed, other matrices")
    p.add_argument(
        "--distribution",
        metavar="NAME[+NAME...]",
        default="uniform",
        help="of the invertible matrices: " + ", ".join(DISTRIBUTIONS),
    )
    p.add_argument(
        "--det_min",
        type=finite_float,
        default=DET_MIN,
        help="keep invertible matrices whose absolute determinant is above (0 keeps all)",
    )
    p.add_argument("--format", choices=FORMATS, default="mx", help="format of the four files")
    return p


def file_names(prefix: str, size: int, suffix: str = "mx") -> tuple[Path, Path, Path, Path]:
    """The files of matrices, inverses, singular matrices and pseudo-inverses, in this order."""
    kinds = ("matrices", "matrices_inverted", "singular_matrices")
    kinds = (*kinds, "singular_matrices_pseudoinverted")
    a, b, c, d = (Path(f"{prefix}_{kind}_{size}x{size}.{suffix}") for kind in kinds)
    return a, b, c, d


def generate(arguments: argparse.Namespace) -> int:
    """Write the four files; none is replaced before all are complete."""
    n, count, low, high = arguments.size, arguments.samples, arguments.min, arguments.max
    paths = file_names(arguments.prefix, n, arguments.format)
    folder = paths[0].parent
    if not folder.is_dir():
        raise ValueError(f"there is no folder '{folder}' to write to: create it first")
    for path in paths:
        if path.is_dir():
            raise ValueError(f"{path} is a folder: choose another PREFIX")
    # Two streams: how often the filter draws again does not change the singular matrices.
    rngs = [np.random.default_rng(s) for s in np.random.SeedSequence(arguments.seed).spawn(2)]
    invertible = invertible_pairs(
        rngs[0],
        count,
        n,
        low,
        high,
        distribution=arguments.distribution,
        det_min=arguments.det_min,
    )
    singular = singular_pairs(rngs[1], count, n, low, high)
    # Beside the files that they become, so that putting them in place is a matter of renaming.
    with tempfile.TemporaryDirectory(prefix=".dmxdataset-", dir=folder) as staging:
        staged = [Path(staging, path.name) for path in paths]
        with counting_progress("matrices", 2 * count) as advance:
            _write(invertible, staged[0], staged[1], advance)
            _write(singular, staged[2], staged[3], advance)
        for complete, path in zip(staged, paths, strict=True):
            os.replace(complete, path)
    print(*paths, sep="\n")
    return 0


def _write(
    blocks: Iterable[Pairs], matrices: Path, targets: Path, advance: Callable[[int], None]
) -> None:
    with MatrixWriter(matrices) as left, MatrixWriter(targets) as right:
        for block in blocks:
            left.write(block.matrices)
            right.write(block.targets)
            advance(len(block.matrices))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``dmxdatasetgenerator``."""
    return run(generate, parser().parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
