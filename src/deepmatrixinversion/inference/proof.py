"""Certificates for matrices of every dtype and kind of array that the inverter takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.inference.arrays import as_array, embed, real_form
from deepmatrixinversion.inference.interchange import keeps_kind
from deepmatrixinversion.linalg import certify as of_reals
from deepmatrixinversion.linalg.certificate import Certificate


@keeps_kind("A", "X")
def certify(A: ArrayLike, X: ArrayLike, *, rtol: float | None = None) -> Certificate:
    r"""Prove for each pair that A is nonsingular, and bound how far X is from its inverse.

    Parameters
    ----------
    A, X : (..., n, n) array_like
        Real or complex, single or double precision; integers where float64 holds them exactly.
        Whoever made X: the bounds speak of exactly these arrays, NaN and infinities included.
    rtol : float, optional
        Relative error that a certified X is proven to have at most; 1e-6 by default, 1e-3 where X
        is of single precision.

    Returns
    -------
    Certificate
        ``certified``, ``residual_bound`` >= ‖I - XA‖, ``error_bound`` >= ‖A⁻¹ - X‖ and
        ``relative_error_bound`` in the infinity norm, each of shape (...); of complex matrices in
        that of their real embeddings, which is not smaller.

    Raises
    ------
    ValueError
        For another dtype, and for shapes that differ or are not square.

    Notes
    -----
    Cost: 5 to 8 products, and 13 for a large X that is right to the last bits (`linalg.certify`;
    `linalg.polish` derives the bound).

    Examples
    --------
    >>> from deepmatrixinversion import certify
    >>> bool(certify([[2, 0], [0, 4]], [[0.5, 0], [0, 0.25]]).certified)
    True
    >>> bool(certify([[2, 0], [0, 4]], [[0.5, 0], [0, 0.3]]).certified)
    False
    """
    a, x = real_form(A), real_form(X, name="X")
    if np.shape(A) != np.shape(X):
        raise ValueError(f"A {np.shape(A)} and X {np.shape(X)} must be of the same shape")
    if a.is_complex == x.is_complex:
        return of_reals.certify(a.array, x.array, rtol=rtol)
    left = a.array if a.is_complex else embed(a.array + 0j)
    return of_reals.certify(left, x.array if x.is_complex else embed(x.array + 0j), rtol=rtol)


@keeps_kind("A", "X")
def entrywise_error_bound(A: ArrayLike, X: ArrayLike) -> NDArray[np.float64]:
    """At least ``|A⁻¹ - X|`` for each entry of real A and X: see `linalg.certify`.

    Parameters
    ----------
    A, X : (..., n, n) array_like
        float64 or float32

    Returns
    -------
    (..., n, n) float64
        inf where A is not proven nonsingular

    Raises
    ------
    ValueError
        for another dtype, and for shapes that differ or are not square
    """
    return of_reals.entrywise_error_bound(as_array(A, "A"), as_array(X, "X"))
