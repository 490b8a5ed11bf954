"""The page that says what runs where."""

from __future__ import annotations

from typing import Any

from page import records
from runtimes_files import FILES, Row


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
