"""Read and write stacks of matrices as Parquet, through PyArrow (an optional extra).

A table of numbers is one matrix. A column of lists of lists is a stack, one matrix a row.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np

from deepmatrixinversion.errors import MatrixFormatError, listed, printable
from deepmatrixinversion.matrices.blocks import WholeArray
from deepmatrixinversion.matrices.elements import KEY
from deepmatrixinversion.matrices.input_file import InputFile
from deepmatrixinversion.matrices.memory import check_memory
from deepmatrixinversion.matrices.sinks import Sink

_GROUP = 2**24  # bytes of matrices written together


def _pyarrow(name: str) -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            f"{name}: .parquet files need PyArrow: pip install 'deepmatrixinversion[parquet]'"
        ) from error
    return pyarrow, pyarrow.parquet


def read_parquet(source: InputFile) -> WholeArray:
    """The matrices of a ``.parquet`` file."""
    pa, parquet = _pyarrow(source.name)
    source.whole_size(".parquet")
    try:
        file = parquet.ParquetFile(source.file)
        # PyArrow ends the process where the metadata of a damaged column is asked for.
        cells = file.metadata.num_rows * max(1, len(file.schema.names))
        check_memory(source.name, 16 * cells, "its table")
        table = file.read(use_threads=False)
    except (pa.ArrowException, OSError, OverflowError, UnicodeDecodeError) as error:
        raise MatrixFormatError(
            f"{source.name}: no valid .parquet file ({printable(error)})"
        ) from error
    # pandas keeps row labels in columns of such names.
    names = [name for name in table.column_names if not name.startswith("__index_level_")]
    lists = [name for name in names if _depth(pa, table.schema.field(name).type) == 2]
    if KEY in lists or (len(lists) == 1 and len(names) == 1):
        column = table.column(KEY if KEY in lists else lists[0])
        return WholeArray(_stack(column.combine_chunks(), source.name), source)
    flat = [name for name in names if _is_number(pa, table.schema.field(name).type)]
    if not names or len(flat) < len(names):
        others = [name for name in names if name not in flat]
        raise MatrixFormatError(
            f"{source.name}: columns that are neither numbers nor the lists of lists of a stack:"
            f" {listed(others)}"
        )
    columns = [_numbers(table.column(name).combine_chunks(), source.name) for name in flat]
    return WholeArray(np.stack(columns, axis=1), source)


def _depth(pa: Any, kind: Any) -> int:
    """How many lists are within each other; 0 for anything but lists of numbers."""
    depth = 0
    while (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    ):
        kind, depth = kind.value_type, depth + 1
    return depth if _is_number(pa, kind) else 0


def _is_number(pa: Any, kind: Any) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)


def _stack(column: Any, name: str) -> np.ndarray:
    """A column of lists of lists as an array (count, rows, cols)."""
    shape = [len(column)]
    for what in ("rows", "columns"):
        lengths = np.asarray(column.value_lengths())
        if column.null_count or len(set(lengths.tolist())) != 1:
            raise MatrixFormatError(f"{name}: its matrices differ in their number of {what}")
        shape.append(int(lengths[0]))
        column = column.flatten()
    return _numbers(column, name).reshape(shape)


def _numbers(column: Any, name: str) -> np.ndarray:
    if column.null_count:
        raise MatrixFormatError(f"{name}: {column.null_count} entries are missing (null)")
    return column.to_numpy(zero_copy_only=False)


class ParquetSink(Sink):
    """A ``.parquet`` file with one column "matrices" of lists of rows."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        super().__init__(file, name)
        self._pa, self._parquet = _pyarrow(name)
        self._writer: Any = None
        self._waiting: np.ndarray | None = None

    def write(self, stack: np.ndarray) -> None:
        """Append matrices (b, rows, cols) of one dtype."""
        waiting = stack.copy() if self._waiting is None else np.concatenate([self._waiting, stack])
        group = max(1, _GROUP // (waiting.nbytes // len(waiting)))
        whole = len(waiting) // group * group
        for start in range(0, whole, group):
            self._write(waiting[start : start + group])
        self._waiting = waiting[whole:]

    def finish(self) -> None:
        """Write what is left and the directory."""
        if self._waiting is not None and len(self._waiting):
            self._write(self._waiting)
        self._writer.close()

    def _write(self, stack: np.ndarray) -> None:
        pa = self._pa
        _, rows, cols = stack.shape
        lists = pa.FixedSizeListArray.from_arrays(pa.array(stack.reshape(-1)), cols)
        table = pa.table({KEY: pa.FixedSizeListArray.from_arrays(lists, rows)})
        if self._writer is None:
            self._writer = self._parquet.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)
