"""What is known of the answers to many matrices, accumulated block by block."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

# A report with a row for each of millions of matrices fills the memory: beyond this many rows, only
# matrices that could not be certified get one, as many again at most. Tables as .csv have all.
MOST_ROWS = 100_000
NAMED = 5


class AnswerSummary:
    """How many answers are good, the largest figures of those, and a row for each matrix.

    Parameters
    ----------
    bounds : sequence of str
        The columns whose largest values over good answers are kept, the first of them named where
        an answer is not good.
    good : str
        The column that says which answers are good.
    first : int
        The index of the first matrix.
    table : binary file, optional
        Where every row goes at once, as comma-separated values.
    """

    def __init__(
        self,
        bounds: Sequence[str],
        *,
        good: str = "certified",
        first: int = 0,
        table: BinaryIO | None = None,
    ) -> None:
        self.good = good
        self.count = 0
        self.matrices = 0
        self._bounds = tuple(bounds)
        self._first = first
        self._largest = dict.fromkeys(bounds, 0.0)
        self._table = table
        self._rows: list[dict[str, NDArray]] = []
        self._kept = 0
        self._extra = 0
        self._named: list[tuple[int, float]] = []

    def add(self, columns: Mapping[str, NDArray]) -> None:
        """Add a block: figures of its matrices by name, each (count,)."""
        good = columns[self.good]
        index = self._first + self.matrices + np.arange(len(good))
        columns = {"index": index, **columns}
        for name in self._bounds:
            largest = float(columns[name][good].max(initial=0.0))
            self._largest[name] = max(self._largest[name], largest)
        for i in np.flatnonzero(~good)[: NAMED - len(self._named)]:
            self._named.append((int(index[i]), float(columns[self._bounds[0]][i])))
        if self._table is None:
            self._keep(columns, good)
        else:
            self._write(columns, self._table)
        self.matrices += len(good)
        self.count += int(good.sum())

    def _keep(self, columns: dict[str, NDArray], good: NDArray[np.bool_]) -> None:
        regular = np.arange(len(good)) < MOST_ROWS - self._kept
        extra = np.flatnonzero(~good & ~regular)[: MOST_ROWS - self._extra]
        self._kept += int(regular.sum())
        self._extra += len(extra)
        chosen = np.concatenate([np.flatnonzero(regular), extra])
        if len(chosen):
            self._rows.append({name: values[chosen] for name, values in columns.items()})

    def _write(self, columns: dict[str, NDArray], table: BinaryIO) -> None:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        if not self.matrices:
            writer.writerow(columns)
        # Booleans as 0 and 1, which every reader of tables takes for numbers.
        values = [c.astype(np.int64) if c.dtype == bool else c for c in columns.values()]
        writer.writerows(zip(*(v.tolist() for v in values), strict=True))
        table.write(text.getvalue().encode())
        self._kept += len(columns["index"])

    @property
    def largest(self) -> dict[str, float | None]:
        """The largest of each bound over good answers; None where there are none."""
        return {k: v if self.count else None for k, v in self._largest.items()}

    @property
    def left_out(self) -> int:
        """How many matrices have no row."""
        return self.matrices - self._kept - self._extra

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows that were kept, in order: the index and every column."""
        for block in self._rows:
            for values in zip(*(column.tolist() for column in block.values()), strict=True):
                yield dict(zip(block, values, strict=True))

    def describe_others(self, bound: str = "residual bound") -> str:
        """One clause that names the first matrices whose answers are not good."""
        return describe_others(self._named, self.matrices - self.count, self.matrices, bound)


def describe_others(
    named: Sequence[tuple[int, float]], others: int, matrices: int, bound: str = "residual bound"
) -> str:
    """One clause that names the first ``others`` of ``matrices``, and their ``bound``."""
    names = ", ".join(str(i) for i, _ in named)
    bounds = ", ".join(f"{b:.3g}" for _, b in named)
    more = f" and {others - len(named)} more" if others > len(named) else ""
    return f"matrices [{names}]{more} of {matrices} could not be certified ({bound} {bounds})"
