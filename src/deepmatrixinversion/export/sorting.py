"""Values in order, with the columns that belong to them."""

from __future__ import annotations

import numpy as np

from deepmatrixinversion.export.algebra import Value, constant, integers, op, where


def ordered(values: Value, n: int, *, descending: bool) -> tuple[Value, Value]:
    """The values (..., n) in order, and the permutation (..., n, n) for columns from the right."""
    found, places = op.TopK(values.node, integers([n]), axis=-1, largest=int(descending), sorted=1)
    index = Value(op.Unsqueeze(places, integers([-2])), np.dtype(np.int64), values.rank + 1)
    chosen = index.equals(Value(integers(np.arange(n)[:, None]), index.dtype, 2))
    return values.of(found), where(chosen, constant(1, values.dtype), 0)
