"""Stacks of small matrices on NVIDIA devices: ``device/``, compiled when it is first called for.

NVRTC, which PyTorch's CUDA wheels bring, compiles for the device at hand through ``cuda.core`` (the
extra ``cuda``): about a second for each order, dtype and device in a process.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from importlib import resources
from typing import Any, NamedTuple

import torch
from torch import Tensor

LARGEST_ORDER = 32
SHARED = 48 * 1024  # bytes of shared memory that every device grants a block

WIDTHS = ((3, 1), (6, 2), (12, 4), (14, 8), (24, 16), (LARGEST_ORDER, 32))
"""Lanes that share a matrix, up to an order: what measured fastest on an H200."""


class StackInversion(NamedTuple):
    """Inverses (k, n, n), where they are as good as their dtype lets, and bounds, float64 (k,)."""

    inverse: Tensor
    settled: Tensor
    residual_bound: Tensor
    error_bound: Tensor
    relative_error_bound: Tensor


class _Stream(NamedTuple):
    """PyTorch's current stream, as ``cuda.core`` asks for one."""

    pointer: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.pointer


class _Compiled(NamedTuple):
    kernel: Any
    matrices: int  # in a block
    threads: int


def source() -> str:
    """The kernel's text, whose parts use what stands in those before."""
    parts = ("lanes", "equilibrate", "exchange", "residual", "invert")
    folder = resources.files("deepmatrixinversion.torch").joinpath("device")
    return "\n".join(folder.joinpath(f"{part}.cuh").read_text() for part in parts)


@functools.cache
def available() -> bool:
    """Whether there is an NVIDIA device, and ``cuda.core`` to compile for it."""
    if torch.version.cuda is None or not torch.cuda.is_available():
        return False
    found = importlib.util.find_spec("cuda")
    return found is not None and importlib.util.find_spec("cuda.core") is not None


def serves(A: Tensor) -> bool:
    """Whether the kernel takes A: plain float32 or float64 tensors of order 1 to 32, not traced."""
    if not A.is_cuda or type(A) not in (Tensor, torch.nn.Parameter):
        return False
    small = A.dtype in (torch.float32, torch.float64) and 1 <= A.shape[-1] <= LARGEST_ORDER
    return small and not torch.compiler.is_compiling() and available()


@functools.cache
def _compiled(device: int, n: int, single: bool) -> _Compiled:
    cuda = importlib.import_module("cuda.core")
    width = next(width for order, width in WIDTHS if n <= order)
    room = 8 * (3 * n * (n | 1) + 7 * n + 17)  # at least the bytes of its Room
    warps = max(1, min(4, SHARED // (32 // width * room)))
    matrices = warps * 32 // width
    macros = {"ORDER": n, "SINGLE": int(single), "WIDTH": width, "MATRICES": matrices}
    target = cuda.Device(device)
    target.set_current()
    options = cuda.ProgramOptions(
        std="c++17",
        arch=f"sm_{target.arch}",
        fma=False,
        ftz=False,
        define_macro=[(name, str(value)) for name, value in macros.items()],
    )
    program = cuda.Program(source(), code_type="c++", options=options)
    return _Compiled(program.compile("cubin").get_kernel("invert"), matrices, warps * 32)


def invert_stack(A: Tensor) -> StackInversion:
    """Inverses and bounds of (k, n, n) matrices that it `serves`, on A's device and current stream.

    Notes
    -----
    Cost: A is read and X written once. Between lie an elimination, a residual in about twice the
    working precision, and a correction; what is left to others is not ``settled``. No bit of a
    matrix depends on its neighbours.
    """
    cuda = importlib.import_module("cuda.core")
    A = A.contiguous()
    count = len(A)
    inverse = torch.empty_like(A)
    settled = torch.empty(count, dtype=torch.bool, device=A.device)
    bounds = torch.empty(3, count, dtype=torch.float64, device=A.device)
    if count:
        made = _compiled(A.get_device(), A.shape[-1], A.dtype == torch.float32)
        current = torch.cuda.current_stream(A.device)
        stream = cuda.Device(A.get_device()).create_stream(_Stream(current.cuda_stream))
        config = cuda.LaunchConfig(grid=-(-count // made.matrices), block=made.threads)
        pointers = [x.data_ptr() for x in (settled, *bounds)]
        cuda.launch(stream, config, made.kernel, A.data_ptr(), inverse.data_ptr(), count, *pointers)
    return StackInversion(inverse, settled, *bounds)
