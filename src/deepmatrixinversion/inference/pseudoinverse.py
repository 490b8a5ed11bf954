"""Pseudo-inverses of every dtype and kind of array that inverses are taken of."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.inference.arrays import (
    as_array,
    extract,
    from_lower_triangle,
    like,
    real_form,
    require_finite,
)
from deepmatrixinversion.inference.interchange import keeps_kind
from deepmatrixinversion.linalg.pseudoinverse import PseudoInversion, pseudo_inverse


@keeps_kind("A")
def pinv(
    A: ArrayLike,
    rcond: ArrayLike | None = None,
    hermitian: bool = False,
    *,
    rtol: ArrayLike | None = None,
) -> NDArray:
    """Moore-Penrose inverses (..., n, m) of matrices (..., m, n): see `pinv_ex`.

    ``rcond`` is NumPy's older name for ``rtol``; ``hermitian`` says that the matrices are, so
    that their lower triangle alone is read, as NumPy does. Raises ``ValueError`` for NaN and
    infinities.

    Examples
    --------
    >>> import numpy as np
    >>> from deepmatrixinversion import pinv
    >>> pinv(np.ones((2, 2)))
    array([[0.25, 0.25],
           [0.25, 0.25]])
    """
    if rcond is not None and rtol is not None:
        raise ValueError("`rtol` and `rcond` can't be both set.")
    require_finite(A)
    M = from_lower_triangle(as_array(A, "A")) if hermitian else A
    result = pinv_ex(M, rtol=rtol if rcond is None else rcond)
    return like(result.pseudoinverse, A)


@keeps_kind("A")
def pinv_ex(A: ArrayLike, *, rtol: ArrayLike | None = None) -> PseudoInversion:
    """Moore-Penrose inverses with numerical rank and the four Penrose residuals.

    A matrix with NaN or infinite entries gives NaN, and rank -1.

    Parameters
    ----------
    A : (..., m, n) array_like
        Of any rank and shape; dtypes as for `inv`.
    rtol : (...) array_like, optional
        Singular values up to ``rtol`` times the largest count as zero, as in NumPy: one value
        for all matrices or one each. By default max(m, n) eps of A's dtype, the rule of
        ``numpy.linalg.matrix_rank`` (``numpy.linalg.pinv`` itself takes 1e-15 unless told).

    Returns
    -------
    PseudoInversion
        ``pseudoinverse`` (..., n, m), ``rank`` (...), ``penrose`` (..., 4).

    Notes
    -----
    Matrix products alone; no network has a part in it: the iteration from a multiple of the
    transpose is a spectral filter, and a guess would not be.
    """
    form = real_form(A, square=False)
    if rtol is None and form.is_complex:  # the embedding is twice as large
        rtol = max(form.array.shape[-2:]) // 2 * float(np.finfo(form.array.dtype).eps)
    result = pseudo_inverse(form.array, rtol)
    if not form.is_complex:
        return result
    # Each singular value of a complex matrix is there twice in its embedding.
    rank = np.asarray(result.rank // 2)
    return PseudoInversion(extract(result.pseudoinverse), rank, result.penrose)
