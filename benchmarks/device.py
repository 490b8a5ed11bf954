"""Certified inverses on an NVIDIA device against torch.linalg.inv and cuBLAS, which prove nothing.

    python benchmarks/device.py [--markdown FILE]

Normal matrices, device events, the median of some runs; each as nanoseconds a matrix.
"""

from __future__ import annotations

import ctypes

import numpy as np
import torch

from deepmatrixinversion.torch import certified_inv, cuda_stack
from page import arguments, records, write_page

ORDERS = (2, 3, 4, 5, 6, 8, 12, 16, 24, 32)


def median_time(function, rounds):
    """Of one call, in nanoseconds; the first is free."""
    function()
    times = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return float(np.median(times)) * 1e6


def cublas():
    """The library that PyTorch has loaded, or None."""
    with open("/proc/self/maps") as maps:
        paths = {line.split()[-1] for line in maps if "libcublas.so" in line}
    return ctypes.CDLL(min(paths)) if paths else None


def matinv(library, A):
    """cublas<t>matinvBatched of row-major A, whose inverse's transpose is that of the transpose."""
    out, info = torch.empty_like(A), torch.empty(len(A), dtype=torch.int32, device=A.device)
    steps = torch.arange(len(A), device=A.device) * A.stride(0) * A.element_size()
    rows, columns = A.data_ptr() + steps, out.data_ptr() + steps
    name = "cublasDmatinvBatched" if A.dtype == torch.float64 else "cublasSmatinvBatched"
    n, pointer = A.shape[-1], ctypes.c_void_p

    def call():
        handle = pointer(torch.cuda.current_blas_handle())
        places = (pointer(x.data_ptr()) for x in (rows, columns, info))
        a, b, status = places
        if getattr(library, name)(handle, n, a, n, b, n, status, len(A)):
            raise RuntimeError(f"{name} failed")

    return call


def row(n, dtype, rounds, library):
    """Times and what was proven for matrices of order n."""
    count = min(1 << 19, (1 << 25) // (n * n))
    generator = torch.Generator("cuda").manual_seed(n)
    A = torch.randn(count, n, n, dtype=dtype, device="cuda", generator=generator)
    found = certified_inv(A)
    settled = cuda_stack.invert_stack(A).settled.double().mean()
    kernel = median_time(lambda: cuda_stack.invert_stack(A), rounds) / count
    whole = median_time(lambda: certified_inv(A), rounds) / count
    peer = median_time(lambda: torch.linalg.inv(A), rounds) / count
    batched = median_time(matinv(library, A), rounds) / count if library else np.nan
    return {
        "n": n,
        "matrices": count,
        "kernel, ns": f"{kernel:.2f}",
        "certified_inv, ns": f"{whole:.2f}",
        "torch.linalg.inv, ns": f"{peer:.2f}",
        "cuBLAS matinvBatched, ns": f"{batched:.2f}",
        "over torch": f"**{peer / whole:.1f}**",
        "over cuBLAS": f"{batched / whole:.1f}",
        "settled on the device": f"{100 * settled:.3f} %",
        "certified": f"{100 * found.certified.double().mean():.3f} %",
        "median relative bound": f"{found.relative_error_bound.median():.1e}",
    }


def main():
    options = arguments(__doc__, rounds=9).parse_args()
    torch.linalg.inv(torch.eye(3, device="cuda"))
    torch.cuda.current_blas_handle()
    library = cublas()
    body = []
    for dtype in (torch.float64, torch.float32):
        rows = records(row(n, dtype, options.rounds, library) for n in ORDERS)
        body.append(f"## {str(dtype).removeprefix('torch.')}\n\n{rows}")
    names = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    write_page(options.markdown, "device", tables="\n".join(body), **names)


if __name__ == "__main__":
    main()
