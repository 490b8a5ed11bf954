"""Inverting stacks of matrices of any order and scale with a trained model."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepmatrixinversion.inference.arrays import (
    embed,
    extract,
    like,
    real_form,
    require_finite,
    start_like,
)
from deepmatrixinversion.inference.guesses import guesses
from deepmatrixinversion.inference.interchange import keeps_kind
from deepmatrixinversion.inference.leaf import leaf_of
from deepmatrixinversion.inference.pseudoinverse import pinv, pinv_ex
from deepmatrixinversion.inference.results import Solution, require_certified, require_solved
from deepmatrixinversion.inference.session import DEFAULT_BATCH
from deepmatrixinversion.inference.solution import solve_by
from deepmatrixinversion.linalg.certify import certify
from deepmatrixinversion.linalg.engine import Inversion, invert
from deepmatrixinversion.models.directory import ModelDirectory
from deepmatrixinversion.models.zoo import locate, name_for_order


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
    leaf : Leaf
        The network's unchecked guesses for (k, m, m) matrices of norm near one.

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
        self.leaf = leaf_of(model, batch=batch)

    def __getstate__(self) -> dict[str, Any]:
        """The model and the batch: an onnxruntime session neither pickles nor copies."""
        return {"model": self.model, "batch": self.batch}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["model"], batch=state["batch"])

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

    @keeps_kind("A")
    def guess(
        self,
        A: ArrayLike,
        *,
        max_products: int | None = None,
        start: ArrayLike | None = None,
    ) -> NDArray:
        """The network's raw answer: in float32 for a network of one order, float64 for any order.

        Parameters
        ----------
        A : (..., m, m) array_like of real numbers
            Of any scale: it is brought to a norm near one by an exact power of two, undone on
            the answer. m is the network's order, and any for ``spectral``.
        max_products : int, optional
            For ``spectral``, ``prior`` and starts alone: matrix products that each answer may cost,
            all of them used unless nothing is gained any more. By default a matrix is done when its
            residual is predicted to be below 1e-3.
        start : (..., m, m) array_like, optional
            Approximate inverses of any quality and origin, one for all matrices or one each:
            minimal residual steps from there, in float64, take the network's place.

        Returns
        -------
        (..., m, m) float64, or float32 where A is float32

        Raises
        ------
        ValueError
            When A is no stack of real matrices of order m, NaN and infinities included, or the
            start does not fit.
        """
        given = start_like(start, np.shape(A), False)
        if given is not None:
            require_finite(given, "start")
        A, is_complex = real_form(A)
        require_finite(A)
        n = A.shape[-1]
        if is_complex or n != (self.order or n):
            kind = "complex matrices" if is_complex else f"matrices of order {n}"
            raise ValueError(
                f"{self.model.name} itself sees real matrices of order {self.order or 'n'}, not "
                f"{kind}; inv and inv_ex invert those too"
            )
        return guesses(self.leaf, A, given, max_products)

    def __call__(self, A: ArrayLike) -> NDArray:
        """Certified inverses: ``inv``."""
        return self.inv(A)

    @keeps_kind("A")
    def inv(self, A: ArrayLike, *, rtol: float | None = None) -> NDArray:
        """Inverses of the matrices of A, every one of them certified.

        Parameters
        ----------
        A : (..., n, n) array_like
            float32, float64, complex64 or complex128; integers and booleans where float64 holds
            them exactly. Any order and scale. Arrays of other libraries and labelled ones come
            back as what they were, see `interchange.keeps_kind`.

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
        inversion = self.inv_ex(A, rtol=rtol)
        if not inversion.certificate.certified.all():
            require_finite(A)
            require_certified(inversion, "inv_ex")
        return like(inversion.inverse, A)

    @keeps_kind("A")
    def inv_ex(
        self,
        A: ArrayLike,
        *,
        tol: float | None = None,
        rtol: float | None = None,
        seed: int = 0,
        start: ArrayLike | None = None,
    ) -> Inversion:
        """Inverses of the matrices of A with their certificates; errors as for ``inv``.

        A matrix with NaN or infinite entries gives NaN, uncertified, and disturbs no neighbour.

        Parameters
        ----------
        A : (..., n, n) array_like
            As for ``inv``.
        tol : float, optional
            Frobenius residual of the scaled matrix at which refinement may stop; as far as float64
            goes by default. Results that are then less accurate than ``rtol`` are not certified.
        rtol : float, optional
            Relative error (infinity norm) that a certified inverse is proven to have at most, as
            returned and beside the matrix with its rows and columns scaled evenly; 1e-6 by default,
            1e-3 in single precision. Above order 64 the work done is what it asks for: by default
            errors are LAPACK's or less and bounds thousands of times that, with 2**-50 results are
            right to the last bits, and bounds tight, for two to three times the time.
        seed : int
            Of the random transformations that a failing Schur recursion is retried with.
        start : (..., n, n) array_like, optional
            Approximate inverses of any quality and origin, one for all matrices or one each: the
            iteration begins there, and where that leads nowhere, as if it had not been given. It
            saves products, not time where the compiled kernel runs, which takes no start.

        Returns
        -------
        Inversion
            ``inverse``, ``certificate`` (``certified``; ``residual_bound``, ``error_bound``,
            ``relative_error_bound``: upper bounds on ‖I - XA‖, ‖A⁻¹ - X‖ and the latter over ‖X‖ in
            the infinity norm, for exactly the array returned) and ``steps`` of refinement. An
            uncertified matrix is just that: floating point cannot prove singularity.

        Notes
        -----
        For n <= m: the network, then 1 product and 2 a refinement step, and 4 to 8 for the last
        step in extended precision, which gives the certificate. For n > m about 8 products of order
        n in all, above order 64 3 to 4.
        """
        form = real_form(A)
        for name, value in (("tol", tol), ("rtol", rtol)):
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must be a number of at least 0, not {value}")
        E = form.array
        begin = start_like(start, np.shape(A), form.is_complex)
        inversion = self._invert(E, tol=tol, rtol=rtol, seed=seed, start=begin)
        if not form.is_complex:
            return inversion
        # Certify the complex array that is returned, not the real one it is taken from.
        X = extract(inversion.inverse)
        return Inversion(X, certify(E, embed(X), rtol=rtol), inversion.steps)

    # The network has no part in them.
    pinv = staticmethod(pinv)
    pinv_ex = staticmethod(pinv_ex)

    @keeps_kind("A", "B")
    def solve(self, A: ArrayLike, B: ArrayLike, *, rtol: float | None = None) -> NDArray:
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
        solution = self.solve_ex(A, B, rtol=rtol)
        if not (solution.certified.size and solution.certified.all()):
            require_finite(A)
            require_finite(B, "B")
            require_solved(solution)
        return like(solution.solution, B)

    @keeps_kind("A", "B")
    def solve_ex(
        self,
        A: ArrayLike,
        B: ArrayLike,
        *,
        rtol: float | None = None,
        start: ArrayLike | None = None,
    ) -> Solution:
        """The solution of A Y = B with a rigorous forward error bound for each column.

        Y = X B is refined, Y <- Y + X (B - A Y) with residuals in extended precision, until its
        error is little more than the last rounding, and that is bounded. Parameters and errors are
        those of ``solve``; nothing raises for want of a certificate. A column is certified where A
        is, and its own relative error bound is at most ``rtol``; never one with an infinite
        component. What is not finite in A or B gives NaN in the solutions that it touches.
        ``start`` as for ``inv_ex``: approximate inverses of A.
        """
        if rtol is not None and not rtol >= 0:
            raise ValueError(f"rtol must be a number of at least 0, not {rtol}")
        is_complex = np.iscomplexobj(A) or np.iscomplexobj(B)
        begin = start_like(start, np.shape(A), is_complex)
        return solve_by(lambda E: self._invert(E, rtol=rtol, start=begin), A, B, rtol)

    def _invert(self, E: NDArray, **options: Any) -> Inversion:
        """Real matrices by this network, or by the kernel that has it built in."""
        order = self.order or max(1, E.shape[-1])
        return invert(E, self.leaf, order, compiled=self.leaf.compiled, **options)
