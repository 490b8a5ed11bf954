"""``dmxexport``: write an ONNX file that inverts matrices."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from deepmatrixinversion.cli.model_names import newest
from deepmatrixinversion.cli.program import (
    Parser,
    non_negative_int,
    positive_float,
    positive_int,
    require_torch,
    run,
)


def parser() -> Parser:
    """The command line of ``dmxexport``."""
    p = Parser(
        prog="dmxexport",
        description="Write an ONNX file of standard operators that inverts matrices: A in; "
        "inverse, residual and converged out. Its model card goes beside it.",
        formatter_class=argparse.HelpFormatter,
    )
    add = p.add_argument
    add(
        "--msize",
        type=non_negative_int,
        required=True,
        metavar="N",
        help="order of the matrices, their columns where --rows differs; 0 for any order",
    )
    add("--out", required=True, metavar="FILE.onnx", help="the file to write")
    add(
        "--net",
        default="auto",
        choices=("auto", "adjugate", "elimination", "iterative", "feedback", "spectral"),
        help="what computes the inverse (default: auto: adjugate up to order 2, elimination up to "
        "128, else iterative; spectral for --msize 0)",
    )
    add(
        "--model",
        nargs="+",
        metavar="MODEL",
        help="a trained network, in place of --net: named as for dmxinvert",
    )
    add(
        "--kind",
        default="inverse",
        choices=("inverse", "pinv", "solve"),
        help="inverse of A, pseudo-inverse of A, or solution of A X = B (default: inverse)",
    )
    add(
        "--rows",
        type=positive_int,
        metavar="M",
        help="rows of A, for --kind pinv (default: as many as columns, --msize)",
    )
    add(
        "--early_exit",
        action="store_true",
        help="end the steps of iterative once no matrix of the batch gains by another, by a Loop "
        "(without it a graph has no loops or branches)",
    )
    add(
        "--refine",
        type=non_negative_int,
        metavar="K",
        help="Newton-Schulz steps inside (default: 2 after a network, 5 in float64, else 0)",
    )
    add("--opset", type=int, default=18, help="ONNX opset version, 17 to 25 (default: 18)")
    add(
        "--precision",
        default="32",
        choices=("32", "64", "16"),
        help="bits of input and output; with 16 the inside is float32 (default: 32)",
    )
    add(
        "--internal",
        choices=("32", "64"),
        help="bits of the arithmetic inside, for --kind pinv (default: those of --precision, at "
        "least 32, up to 16 rows or columns; 64 beyond)",
    )
    add(
        "--tol",
        type=positive_float,
        help="residual below which a matrix counts as converged "
        "(default: 0.01 in float32, 1e-6 in float64, 0.1 in float16)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``dmxexport`` and return its exit status."""
    return run(_export, parser().parse_args(argv))


def _export(options: argparse.Namespace) -> int:
    # Here, so that --help and bad options answer at once, without torch.
    require_torch("exporting")
    from deepmatrixinversion.export.inverse import export_onnx

    settings = vars(options)
    order, out = settings.pop("msize"), settings.pop("out")
    if options.model is not None:
        settings["model"] = newest(options.model)
    done = export_onnx(order, out, **settings)
    network = done.options.network
    name = done.options.method if network is None else network.name
    if done.options.kind == "pinv":
        name = "pinv"
    print(
        f"{name}: largest difference from PyTorch {done.difference:.1e}, card in {done.card}",
        file=sys.stderr,
    )
    print(done.path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
