"""What PyTorch's exporter does after it has written a graph, without what takes it longest."""

from __future__ import annotations

import onnxscript.optimizer
import torch
from onnx_ir.passes import common

ROUNDS = 2
"""As many as the exporter's own."""


def fold(program: torch.onnx.ONNXProgram) -> torch.onnx.ONNXProgram:
    """Tidy a program exported with ``optimize=False``, in a time that grows as its nodes.

    Constants are folded, common expressions shared, what is unused goes. PyTorch's own
    optimization also looks for each of its patterns of several outputs from every node through the
    whole graph: of the 42 s that a model with two symmetric eigenproblems of order 10 took to
    export, 40 went there. With ``optimize=False`` and this it is 10 s.

    Parameters
    ----------
    program : torch.onnx.ONNXProgram
        what ``torch.onnx.export(..., dynamo=True, optimize=False)`` returns; changed in place

    Returns
    -------
    torch.onnx.ONNXProgram
        the same, to ``save``

    Examples
    --------
    >>> import torch
    >>> from deepmatrixinversion.export import fold, onnx_translation_table
    >>> class Inverse(torch.nn.Module):
    ...     def forward(self, A):
    ...         return torch.linalg.inv(A)
    >>> program = torch.onnx.export(
    ...     Inverse(), (torch.eye(4),), dynamo=True, verbose=False, optimize=False,
    ...     custom_translation_table=onnx_translation_table(),
    ... )  # doctest: +ELLIPSIS
    >>> before = len(program.model.graph)
    >>> len(fold(program).model.graph) < before
    True
    """
    model = program.model
    for _ in range(ROUNDS):
        onnxscript.optimizer.fold_constants(model)
        common.RemoveUnusedNodesPass()(model)
    for one in (
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),
        common.RemoveUnusedOpsetsPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    ):
        one(model)
    return program
