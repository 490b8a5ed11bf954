"""The recipes of ``docs/engines.md`` run as they stand, on what Spark and Ray would hand them."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from deepmatrixinversion import inv, inv_ex

pytestmark = pytest.mark.dask
pd = pytest.importorskip("pandas")

DOCS = (Path(__file__).parents[1] / "docs/engines.md").read_text(encoding="utf-8")
A = np.random.default_rng(0).normal(size=(10, 3, 3))


@pytest.fixture(scope="module")
def recipes():
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", DOCS, flags=re.S) if "def " in c)
    names = {"np": np, "pd": pd, "math": math, "inv_ex": inv_ex}
    exec(code, names)
    return names


def test_batches_of_arrays(recipes):
    found = recipes["invert_batch"]({"matrix": A})
    np.testing.assert_array_equal(found["inverse"], inv(A))
    assert found["certified"].all()


def test_frames_with_a_matrix_in_each_row(recipes):
    """As they come over Arrow: lists of doubles, in several frames."""
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"matrix": list(A.reshape(10, 9))})
    frames = [batch.to_pandas() for batch in table.to_batches(max_chunksize=4)]
    assert len(frames) == 3
    found = pa.concat_tables(
        pa.Table.from_pandas(x, preserve_index=False) for x in recipes["invert_frames"](frames)
    )
    assert found.schema.field("inverse").type == pa.list_(pa.float64())
    np.testing.assert_array_equal(np.stack(found["inverse"].to_numpy()), inv(A).reshape(10, 9))
    assert all(found["certified"].to_pylist())
