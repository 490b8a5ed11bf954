"""The inverse as a layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepmatrixinversion.errors import SingularMatrixError
from deepmatrixinversion.torch.functions import InverseResult, inv, inv_ex


class Inverse(nn.Module):
    """Inverts its input: a layer without parameters, for ``compile``, ``export`` and ``vmap``.

    Parameters
    ----------
    order : int, optional
        the only order n to accept; any without
    blocks : int, optional
        minimal residual steps, see `functions.inv`
    refine : int
        Newton-Schulz steps after that
    return_residual : bool
        return ``InverseResult(inverse, residual)``, the residual ‖I - A X‖F of each matrix
    check : bool
        raise where a residual is 1 or more, or NaN. That waits for the device and cannot be
        compiled, exported or vmapped.

    Raises
    ------
    ValueError
        in ``forward``, for another shape, dtype or order
    SingularMatrixError
        in ``forward``, with ``check``, that names the matrices

    Examples
    --------
    >>> import torch
    >>> from deepmatrixinversion.torch import Inverse
    >>> layer = Inverse(order=3, return_residual=True)
    >>> X, residual = layer(2 * torch.eye(3))
    >>> X.diagonal().mul(100).round().tolist(), bool(residual < 1e-5)
    ([50.0, 50.0, 50.0], True)
    """

    def __init__(
        self,
        order: int | None = None,
        *,
        blocks: int | None = None,
        refine: int = 0,
        return_residual: bool = False,
        check: bool = False,
    ) -> None:
        super().__init__()
        self.order = order
        self.blocks = blocks
        self.refine = refine
        self.return_residual = return_residual
        self.check = check

    def extra_repr(self) -> str:
        """The options, as in the constructor."""
        names = ("order", "blocks", "refine", "return_residual", "check")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)

    def forward(self, A: Tensor) -> Tensor | InverseResult:
        """The inverse of A (..., n, n), with its residual if asked for."""
        if self.order is not None and A.shape[-1] != self.order:
            raise ValueError(f"matrices of order {self.order} are needed, not {A.shape[-1]}")
        if not (self.return_residual or self.check):
            return inv(A, blocks=self.blocks, refine=self.refine)
        result = inv_ex(A, blocks=self.blocks, refine=self.refine)
        if self.check:
            self._raise_where_failed(result)
        return result if self.return_residual else result.inverse

    @staticmethod
    def _raise_where_failed(result: InverseResult) -> None:
        residual = result.residual
        failed = torch.nonzero(~(residual.flatten() < 1)).flatten().tolist()
        if failed:
            some = ", ".join(map(str, failed[:5])) + (", ..." if len(failed) > 5 else "")
            worst = ", ".join(f"{residual.flatten()[i]:.3g}" for i in failed[:5])
            raise SingularMatrixError(
                f"matrices [{some}] of {residual.numel()} were not inverted (residual {worst}); "
                "use inv_ex to get them with their residuals, or more blocks",
                result,
            )
