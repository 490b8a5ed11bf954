"""Programs exported without PyTorch's optimization, tidied."""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from torch import linalg

from deepmatrixinversion.export import fold, onnx_translation_table


class Aligned(torch.nn.Module):
    """The rotation nearest to each matrix, and an inverse: rotations, determinants, elimination."""

    def forward(self, A):
        U, _, V = linalg.svd(A)
        return U @ V, linalg.inv(A)


def results(program, A, path):
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: A.numpy()})
    return [np.asarray(X) for X in found]


def test_folded_programs_compute_what_they_did(tmp_path):
    A = torch.randn(5, 3, 3, generator=torch.Generator().manual_seed(0))
    program = torch.onnx.export(
        Aligned(),
        (A[:2],),
        dynamo=True,
        verbose=False,
        optimize=False,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        custom_translation_table=onnx_translation_table(),
    )
    assert program is not None
    before, nodes = results(program, A, tmp_path / "before.onnx"), len(program.model.graph)
    after = results(fold(program), A, tmp_path / "after.onnx")
    assert len(program.model.graph) < 0.9 * nodes
    for X, Y in zip(after, before, strict=True):
        np.testing.assert_allclose(X, Y, rtol=1e-5, atol=1e-5)
