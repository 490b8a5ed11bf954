"""Linear algebra of complex matrices by that of real ones of twice the order.

A + iB goes to [[A, -B], [B, A]], under which sums, products, adjoints, inverses and pseudo-inverses
go over into themselves; each singular value and eigenvalue comes twice. With rows and columns
interleaved, so that each entry becomes a block of order 2, triangular matrices with real diagonals
stay triangular, and so Cholesky factors, which are unique, go over into themselves as well.

Parameters are those of the ATen operators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from deepmatrixinversion.export.planes.determinants import det, logdet, slogdet
from deepmatrixinversion.export.planes.pair import Planes


def embedded(A: Planes) -> torch.Tensor:
    """The real matrix (..., 2m, 2n) of a complex one (..., m, n)."""
    return torch.cat([torch.cat([A.re, -A.im], -1), torch.cat([A.im, A.re], -1)], -2)


def interleaved(A: Planes) -> torch.Tensor:
    """The same with row and column k of the second half after those of the first."""
    m, n = A.re.shape[-2:]
    return embedded(A).index_select(-2, _order(m)).index_select(-1, _order(n))


def _order(n: int) -> torch.Tensor:
    """Where interleaved entries come from: 0, n, 1, n + 1, ..."""
    return torch.tensor([k + half for k in range(n) for half in (0, n)])


def stacked(B: Planes, dim: int) -> torch.Tensor:
    """Real and imaginary part one after the other, along an axis."""
    return torch.cat([B.re, B.im], dim)


def halves(X: torch.Tensor, dim: int) -> Planes:
    """The inverse of `stacked`."""
    return Planes(*X.tensor_split(2, dim))


def first_column(X: torch.Tensor) -> Planes:
    """The complex matrix that an embedded one belongs to."""
    return halves(X.tensor_split(2, -1)[0], -2)


def from_triangle(A: Planes, upper: bool = False) -> Planes:
    """The Hermitian matrix of which A's lower or upper triangle is one half."""
    L = A.mH if upper else A
    below = L.each(torch.tril, -1)
    return Planes(L.re.tril() + below.re.mT, below.im - below.im.mT)


def halved(info: torch.Tensor) -> torch.Tensor:
    """An ``info`` of the real matrix, in terms of the complex one."""
    return torch.div(info + 1, 2, rounding_mode="floor").to(info.dtype)


def inv(A: Planes) -> Planes:
    """The inverse."""
    return first_column(torch.linalg.inv(embedded(A)))


def inv_ex(A: Planes, *, check_errors: bool = False) -> tuple[Planes, torch.Tensor]:
    """The inverse, and 0 where it is one."""
    X, info = torch.linalg.inv_ex(embedded(A))
    return first_column(X), halved(info)


def solve(A: Planes, B: Planes, *, left: bool = True) -> Planes:
    """The solution of A X = B, or of X A = B."""
    return _solve(lambda *both: (torch.linalg.solve(*both), None), A, B, left)[0]


def solve_ex(
    A: Planes, B: Planes, *, left: bool = True, check_errors: bool = False
) -> tuple[Planes, torch.Tensor]:
    """The solution of A X = B, or of X A = B, and 0 where it is one."""
    X, info = _solve(torch.linalg.solve_ex, A, B, left)
    return X, halved(info)


def _solve(function: Callable[..., Any], A: Planes, B: Planes, left: bool) -> tuple[Planes, Any]:
    vector = B.re.ndim == 1 or (B.re.ndim == A.re.ndim - 1 and B.re.shape == A.re.shape[:-1])
    if vector or left:
        dim = -1 if vector else -2
        X, info = function(embedded(A), stacked(B, dim))
        return halves(X, dim), info
    X, info = function(embedded(A.mT), stacked(B.mT, -2))
    return halves(X, -2).mT, info


def pinv(
    A: Planes, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Planes:
    """The Moore-Penrose inverse."""
    rtol = rcond if rtol is None else rtol
    if rtol is None:
        rtol = 0.0 if atol else _default_rtol(A)
    A = from_triangle(A) if hermitian else A
    return first_column(torch.linalg.pinv(embedded(A), atol=atol, rtol=rtol))


def _default_rtol(A: Planes) -> float:
    return max(A.re.shape[-2:]) * torch.finfo(A.re.dtype).eps


def _lower(L: torch.Tensor) -> Planes:
    """The lower triangular matrix of an interleaved one, its diagonal real."""
    return Planes(L[..., ::2, ::2], L[..., 1::2, ::2].tril(-1))


def cholesky(A: Planes, *, upper: bool = False) -> Planes:
    """The Cholesky factor."""
    L = _lower(torch.linalg.cholesky(interleaved(from_triangle(A, upper))))
    return L.mH if upper else L


def cholesky_ex(
    A: Planes, *, upper: bool = False, check_errors: bool = False
) -> tuple[Planes, torch.Tensor]:
    """The Cholesky factor, and the order of the first leading minor that is not positive, or 0."""
    found, info = torch.linalg.cholesky_ex(interleaved(from_triangle(A, upper)))
    L = _lower(found)
    return L.mH if upper else L, halved(info)


def solve_triangular(
    T: Planes, B: Planes, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Planes:
    """The solution of T X = B, or of X T = B."""
    if not left:
        return solve_triangular(T.mT, B.mT, upper=not upper, unitriangular=unitriangular).mT
    if not unitriangular:
        # Its diagonal, where it is not real, would have blocks that are not triangular.
        diagonal = T.each(torch.diagonal, 0, -2, -1).each(torch.unsqueeze, -1)
        T, B = T / diagonal, B / diagonal
    T = T.each(torch.triu if upper else torch.tril, 1 if upper else -1)
    right = stacked(B, -2).index_select(-2, _order(B.re.shape[-2]))
    X = torch.linalg.solve_triangular(interleaved(T), right, upper=upper, unitriangular=True)
    return Planes(X[..., ::2, :], X[..., 1::2, :])


def cholesky_solve(B: Planes, L: Planes, upper: bool = False) -> Planes:
    """The solution of L Lᴴ X = B from L."""
    L = L.mH if upper else L
    return solve_triangular(L.mH, solve_triangular(L, B, upper=False), upper=True)


def cholesky_inverse(L: Planes, upper: bool = False) -> Planes:
    """The inverse of L Lᴴ from L."""
    one = torch.eye(L.re.shape[-1], dtype=L.re.dtype).expand(L.re.shape)
    Y = solve_triangular(L.mH if upper else L, Planes(one, torch.zeros_like(one)), upper=False)
    return Y.mH @ Y


def svdvals(A: Planes, *, driver: str | None = None) -> torch.Tensor:
    """Singular values."""
    return torch.linalg.svdvals(embedded(A))[..., ::2]


def eigvalsh(A: Planes, UPLO: str = "L") -> torch.Tensor:
    """Eigenvalues of a Hermitian matrix."""
    return torch.linalg.eigvalsh(embedded(from_triangle(A, UPLO.upper() == "U")))[..., ::2]


def matrix_rank(
    A: Planes, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> torch.Tensor:
    """How many singular values are larger than the tolerance."""
    atol = tol if atol is None else atol
    if rtol is None:
        rtol = 0.0 if atol else _default_rtol(A)
    A = from_triangle(A) if hermitian else A
    rank = torch.linalg.matrix_rank(embedded(A), atol=atol, rtol=rtol)
    return torch.where(rank < 0, rank, rank // 2)


def matrix_exp(A: Planes) -> Planes:
    """The exponential of a matrix."""
    return first_column(torch.linalg.matrix_exp(embedded(A)))


def matrix_power(A: Planes, n: int) -> Planes:
    """A to a whole power."""
    return first_column(torch.linalg.matrix_power(embedded(A), n))


def vector_norm(x: Planes, *args: Any, **kwargs: Any) -> torch.Tensor:
    """The norm of the vector of magnitudes."""
    return torch.linalg.vector_norm(abs(x), *args, **kwargs)


RULES: dict[str, Callable[..., Any]] = {
    "linalg_inv": inv,
    "inverse": inv,
    "linalg_inv_ex": inv_ex,
    "linalg_solve": solve,
    "linalg_solve_ex": solve_ex,
    "linalg_pinv": pinv,
    "pinverse": pinv,
    "linalg_cholesky": cholesky,
    "cholesky": cholesky,
    "linalg_cholesky_ex": cholesky_ex,
    "linalg_solve_triangular": solve_triangular,
    "cholesky_solve": cholesky_solve,
    "cholesky_inverse": cholesky_inverse,
    "linalg_det": det,
    "det": det,
    "linalg_slogdet": slogdet,
    "slogdet": slogdet,
    "logdet": logdet,
    "linalg_svdvals": svdvals,
    "linalg_eigvalsh": eigvalsh,
    "linalg_matrix_rank": matrix_rank,
    "linalg_matrix_exp": matrix_exp,
    "matrix_exp": matrix_exp,
    "linalg_matrix_power": matrix_power,
    "linalg_vector_norm": vector_norm,
}
