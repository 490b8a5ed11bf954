"""The page that says what runs where."""

from __future__ import annotations

from typing import Any

from page import records
from runtimes_files import ALLOWED, FILES, Row


def mark(good: bool) -> str:
    return "✅" if good else "❌"


def cells(row: Row) -> dict[str, Any]:
    """A line of a table."""
    # A difference without a green mark would look like a result.
    shown = row if row.runs else row._replace(difference=None, in_units=None, us=None)
    native = shown.native
    if shown.us and shown.native_us:
        ratio = shown.us / shown.native_us
        native += f": {shown.native_us:.2g} µs, file takes {ratio:.3g} times that"

    def number(value: float | None, digits: str) -> str:
        return "" if value is None else format(value, digits)

    return {
        "runtime": f"{row.title} {row.version}".strip(),
        "converts": mark(row.converts),
        "runs": f"{mark(row.runs)} {row.reason}".strip(),
        "largest difference": number(shown.difference, ".1e"),
        "in κ 2⁻²⁴": number(shown.in_units, ".1f"),
        "µs a matrix": number(shown.us, ".3g"),
        "its own inverse": native,
    }


def about(count: int) -> str:
    """What was done."""
    return f"""\
Or by `make runtimes`. A mark is green only for what happened in that run, on this machine (CPU, one
thread).

Each runtime gets the files that `dmxexport --msize 8` and `16` write (opset 18, float32), called
auto below; that of `--msize 4 --net adjugate`; those of `--net iterative` and `feedback`, made of
matrix products and elementwise operations; and {count} matrices for each, their condition numbers κ
spread evenly in their logarithms. *Runs* means that all inverses agree with the float64 inverse
within {ALLOWED:.0f} κ 2⁻²⁴. *Largest difference* is ‖X - A⁻¹‖F/‖A⁻¹‖F of the worst matrix; *in
κ 2⁻²⁴* divides each matrix's by its condition number and float32's rounding, so that about 1 is as
exact as float32 inverses get.

The other files are models of one call each, exported with the translation table. Their errors are
those of the result, ‖X - Y‖F/‖Y‖F; of `eigh` the largest of ‖V D Vᵀ - A‖F/‖A‖F, ‖Vᵀ V - I‖F and the
eigenvalues' error, with κ taken as 1.

Times are the smallest of stacks of {count} matrices, on a busy machine: read the ratios. *Its own
inverse* is an operator outside ONNX's standard, or of the runtime's own API. Where a runtime has
one, and the file need not run anywhere else, it is far faster and the better choice.

LiteRT, Core ML and ExecuTorch convert from PyTorch: they get the ONNX file through the short
interpreter in `benchmarks/runtimes_torch.py`, with a fixed batch of {count}."""


def tables(rows: list[Row], opsets: list[Row]) -> str:
    """The report."""
    parts = []
    for file in reversed(FILES):
        shape = file.name.split("-")[0]
        shape = shape if "x" in shape else f"{shape}x{shape}"
        found = records(cells(row) for row in rows if row.file == file.name)
        parts.append(f"## {shape}: {file.title}, κ up to {file.kappa:.0f}\n\n{found}")
    if opsets:
        found = records(cells(row._replace(version="")) for row in opsets)
        parts.append(f"## Opsets: onnxruntime, CPU, 16x16\n\n{found}")
    return "\n".join(parts)
