"""A file larger than memory: reading and writing takes the memory of a few blocks."""

import os
import tracemalloc

import numpy as np
import pytest

from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices import (
    MatrixWriter,
    read_blocks,
    read_matrices,
    write_matrices,
)

MEGABYTE = 2**20
BLOCK = np.random.default_rng(0).standard_normal((16_384, 4, 4))  # 2 MiB, 5 MB of text


class Peak:
    """The most memory that was allocated within a with statement, in bytes."""

    def __enter__(self):
        tracemalloc.start()
        return self

    def __exit__(self, *exception):
        self.bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


@pytest.mark.parametrize(
    "suffix, blocks",
    [(".mx", 12), (".npy", 40), (".npz", 40), (".safetensors", 40)],
)
def test_memory_does_not_grow_with_the_file(tmp_path, suffix, blocks):
    path = tmp_path / f"a{suffix}"
    with Peak() as writing, MatrixWriter(path) as writer:
        for _ in range(blocks):
            writer.write(BLOCK)
    assert path.stat().st_size > 55 * MEGABYTE
    count = 0
    with Peak() as reading, read_blocks(path, block_matrices=len(BLOCK)) as reader:
        for block in reader:
            assert np.array_equal(block, BLOCK)
            count += 1
    assert count == blocks
    assert writing.bytes < 12 * MEGABYTE
    # A block of 2 MiB, its copy, and a megabyte of text as Python numbers.
    assert reading.bytes < 24 * MEGABYTE


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_nor_with_a_file_in_fortran_order(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    stack = np.asfortranarray(np.random.default_rng(0).standard_normal((300_000, 4, 4)))
    if suffix == ".npy":
        np.save(path, stack)
    else:
        np.savez(path, stack)
    with Peak() as reading, read_blocks(path, block_matrices=10_000) as reader:
        for i, block in enumerate(reader):
            assert np.array_equal(block, stack[10_000 * i : 10_000 * (i + 1)])
    assert reading.bytes < 12 * MEGABYTE


def test_more_than_the_memory_is_refused_before_it_is_allocated(tmp_path):
    path = tmp_path / "a.npy"
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    count = memory // 8 + 1
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (count, 1, 1)}
        )
        file.truncate(file.tell() + 8 * count)  # zeros that take no space
    with pytest.raises(MatrixFormatError, match="read_blocks"):
        read_matrices(path)
    with read_blocks(path, block_matrices=10) as reader:
        assert np.array_equal(next(reader), np.zeros((10, 1, 1)))
        assert reader.count == count
    with open(path, "r+b") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (1, count, 1)}
        )
        file.truncate(file.tell() + 8 * count)
    with pytest.raises(MatrixFormatError, match=r"\d+ x 1 .*GiB"):
        read_blocks(path)


def test_progress_of_a_part_of_a_file_ends_where_the_part_ends(tmp_path):
    A = np.random.default_rng(0).random((1000, 4, 4))
    write_matrices(tmp_path / "a.npy", A)
    seen = []
    options = {"block_matrices": 100, "progress": lambda read, due: seen.append((read, due))}
    with read_blocks(tmp_path / "a.npy", first=200, last=500, **options) as blocks:
        assert sum(map(len, blocks)) == 300
    (first, due), *_, (last, _) = seen
    assert abs(due - A.nbytes // 2) < 200
    assert first < last <= due + 200
    write_matrices(tmp_path / "a.mx", A)
    with read_blocks(tmp_path / "a.mx", first=200, last=500, **options) as blocks:
        assert sum(map(len, blocks)) == 300
    assert seen[-1][1] is None  # who has not read it all does not know where the part ends
