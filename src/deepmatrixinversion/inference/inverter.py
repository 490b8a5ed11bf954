"""Inverting stacks of matrices of any order and scale with a trained model."""

from __future__ import annotations

import math
import os
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.inference.arrays import embed, extract, real_form
from deepmatrixinversion.inference.results import Solution, require_certified
from deepmatrixinversion.inference.session import DEFAULT_BATCH, Session
from deepmatrixinversion.inference.solution import solve_by
from deepmatrixinversion.inference.spectral import spectral_guess
from deepmatrixinversion.linalg.certificate import certify
from deepmatrixinversion.linalg.engine import Inversion, invert
from deepmatrixinversion.linalg.stack import chunks
from deepmatrixinversion.linalg.pseudoinverse import PseudoInversion, pseudo_inverse
from deepmatrixinversion.linalg.scaling import normalise, times_power
from deepmatrixinversion.models.config import ANY_ORDER
from deepmatrixinversion.models.directory import ModelDirectory, read_weights
from deepmatrixinversion.models.zoo import locate, name_for_order

# What a spectral guess may cost before Schur complements or Newton-Schulz from the transpose,
# whatever the engine falls back on, do no worse.
MOST_PRODUCTS = 60


class Inverter:
    """Inverts matrices: a network guesses, Newton-Schulz refines, a certificate decides.

    The model's order m is that of the matrices the network itself sees. Smaller matrices are
    padded with the identity, larger ones are inverted through Schur complements whose leaves are
    of order m. A ``spectral`` model sees matrices of every order as they are.

    Parameters
    ----------
    model : ModelDirectory
        A verified model directory (``from_pretrained`` finds one by name).
    batch : int
        Matrices per call of the network's graph.

    Attributes
    ----------
    model : ModelDirectory
        Where the network comes from.
    order : int
        Order m of the network; 0 for one that takes any (``spectral``).

    Examples
    --------
    >>> import numpy as np
    >>> from deepmatrixinversion import Inverter
    >>> invert = Inverter.from_pretrained("feedback-3")
    >>> A = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 4.0]])
    >>> np.round(invert(A), 12)
    array([[ 0.5 , -0.5 ,  0.  ],
           [ 0.  ,  1.  ,  0.  ],
           [ 0.  ,  0.  ,  0.25]])
    """

    def __init__(self, model: ModelDirectory, *, batch: int = DEFAULT_BATCH) -> None:
        self.model = model
        self.batch = batch
        self.order = model.config.net.msize
        self._session, self._weights = None, {}
        if self.order == ANY_ORDER:
            self._weights = read_weights(model, 1)
        else:
            self._session = Session(model)

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], *, batch: int = DEFAULT_BATCH) -> Self:
        """The inverter of a bundled model, a model directory or ``user/repo[@revision]``.

        Raises
        ------
        ModelError
            When there is no such model, or it is malformed.
        """
        return cls(locate(name), batch=batch)

    @classmethod
    def for_order(cls, order: int) -> Self:
        """The inverter of the bundled model that suits matrices of this order best."""
        return cls.from_pretrained(name_for_order(order))

    def guess(self, A: ArrayLike, *, max_products: int | None = None) -> NDArray:
        """The network's raw answer: in float32 for a network of one order, float64 for any order.

        Parameters
        ----------
        A : (..., m, m) array_like of real numbers
            Of any scale: it is brought to a norm near one by an exact power of two, undone on
            the answer. m is the network's order, and any for ``spectral``.
        max_products : int, optional
            For ``spectral`` alone: matrix products that each answer may cost, all of them used
            unless nothing is gained any more. By default a matrix is done when its residual is
            predicted to be below 1e-3.

        Returns
        -------
        (..., m, m) float64, or float32 where A is float32

        Raises
        ------
        ValueError
            When A is no stack of finite real matrices of order m.
        """
        A, is_complex = real_form(A)
        n = A.shape[-1]
        if is_complex or n != (self.order or n):
            kind = "complex matrices" if is_complex else f"matrices of order {n}"
            raise ValueError(
                f"{self.model.name} itself sees real matrices of order {self.order or 'n'}, not "
                f"{kind}; inv and inv_ex invert those too"
            )
        if max_products is not None and (self.order != ANY_ORDER or max_products < 0):
            raise ValueError("max_products is a number of at least 0, for spectral models alone")
        S, exponent = normalise(A)
        X = np.empty(S.shape)
        flat, out = S.reshape(math.prod(A.shape[:-2]), n, n), X.reshape(-1, n, n) if n else X
        with np.errstate(all="ignore"):
            for part in chunks(len(flat), n) if n else ():
                if max_products is None:
                    out[part] = self.leaf(flat[part])
                else:
                    guess = spectral_guess(
                        self._weights, flat[part], max_products=max_products, tol=0.0
                    )
                    out[part] = guess.X
            return times_power(X, -exponent[..., None, None]).astype(A.dtype, copy=False)

    def leaf(self, S: NDArray) -> NDArray[np.float64]:
        """The network's answers for (k, m, m) matrices of norm near one, unchecked."""
        if self._session is None:
            return spectral_guess(self._weights, S, max_products=MOST_PRODUCTS).X
        return self._session(S, self.batch).astype(np.float64)

    def _leaf_order(self, A: NDArray) -> int:
        return self.order or max(1, A.shape[-1])

    def __call__(self, A: ArrayLike) -> NDArray:
        """Certified inverses: ``inv``."""
        return self.inv(A)

    def inv(self, A: ArrayLike) -> NDArray:
        """Inverses of the matrices of A, every one of them certified.

        Parameters
        ----------
        A : (..., n, n) array_like
            float32, float64, complex64 or complex128; integers and booleans where float64 holds
            them exactly. Any order and scale.

        Returns
        -------
        (..., n, n) array of A's dtype (float64 for integers)

        Raises
        ------
        SingularMatrixError
            When a matrix could not be certified: it is singular, or so close to it that its dtype
            cannot hold a provable inverse. The error's ``inversion`` has all results.
        ValueError
            For another dtype, another shape, NaN and infinities.
        """
        inversion = self.inv_ex(A)
        require_certified(inversion, "inv_ex")
        return inversion.inverse

    def inv_ex(self, A: ArrayLike, *, tol: float | None = None, seed: int = 0) -> Inversion:
        """Inverses of the matrices of A with their certificates; errors as for ``inv``.

        Parameters
        ----------
        A : (..., n, n) array_like
            As for ``inv``.
        tol : float, optional
            Frobenius residual of the scaled matrix at which refinement may stop; to working
            accuracy by default.
        seed : int
            Of the random transformations that a failing Schur recursion is retried with.

        Returns
        -------
        Inversion
            ``inverse``, ``certificate`` (``certified``, ``residual_bound``, ``error_bound``: upper
            bounds on ‖I - XA‖ and ‖A⁻¹ - X‖ in the infinity norm, for exactly the array returned;
            inf where not certified) and ``steps`` of refinement. An uncertified matrix is just
            that: floating point cannot prove singularity.

        Notes
        -----
        For n <= m: the network, then 1 product and 2 a refinement step, 4 for the last step in
        doubled precision, 1 for the certificate. For n > m about 5 products of order n in all.
        """
        form = real_form(A)
        if tol is not None and not tol >= 0:
            raise ValueError(f"tol must be a number of at least 0, not {tol}")
        inversion = invert(form.array, self.leaf, self._leaf_order(form.array), tol=tol, seed=seed)
        if not form.is_complex:
            return inversion
        # Certify the complex array that is returned, not the real one it is taken from.
        X = extract(inversion.inverse)
        return Inversion(X, certify(form.array, embed(X)), inversion.steps)

    def pinv(self, A: ArrayLike, *, rtol: float | None = None) -> NDArray:
        """Moore-Penrose inverses (..., n, m) of matrices (..., m, n): see ``pinv_ex``."""
        return self.pinv_ex(A, rtol=rtol).pseudoinverse

    def pinv_ex(self, A: ArrayLike, *, rtol: float | None = None) -> PseudoInversion:
        """Moore-Penrose inverses with numerical rank and the four Penrose residuals.

        Parameters
        ----------
        A : (..., m, n) array_like
            Of any rank and shape; dtypes as for ``inv``.
        rtol : float, optional
            Singular values up to ``rtol`` times the largest count as zero; max(m, n) eps by
            default.

        Returns
        -------
        PseudoInversion
            ``pseudoinverse`` (..., n, m), ``rank`` (...), ``penrose`` (..., 4).

        Notes
        -----
        Matrix products alone; the network has no part in it: the iteration from a multiple of the
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

    def solve(self, A: ArrayLike, B: ArrayLike) -> NDArray:
        """The certified solution of A Y = B.

        Parameters
        ----------
        A : (..., n, n) array_like
            As for ``inv``.
        B : (n,) or (..., n, p) array_like
            One vector, or matrices whose columns are right-hand sides.

        Returns
        -------
        (n,) or (..., n, p) array

        Raises
        ------
        SingularMatrixError, ValueError
            As for ``inv``; also for shapes that do not fit.
        """
        solution = self.solve_ex(A, B)
        require_certified(solution.inversion, "solve_ex")
        return solution.solution

    def solve_ex(self, A: ArrayLike, B: ArrayLike) -> Solution:
        """The solution of A Y = B with a rigorous forward error bound for each column.

        Y = X B is refined once, Y <- Y + X (B - A Y) (Higham 2002, section 12.1), before its
        error is bounded. Parameters and errors are those of ``solve``; nothing raises for want
        of a certificate.
        """
        return solve_by(lambda E: invert(E, self.leaf, self._leaf_order(E)), A, B)
