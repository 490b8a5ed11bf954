"""A network for one's own stack of matrices, from Python."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.training.dataset import DataSet, data_set
from deepmatrixinversion.training.directory import new_directory
from deepmatrixinversion.training.prior import fit_and_finish
from deepmatrixinversion.training.recipe import Recipe

NAME = "the data"


def fit(
    A: ArrayLike,
    *,
    net: str = "prior",
    targets: ArrayLike | None = None,
    mout: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Inverter:
    """An inverter that has learned from a stack of matrices.

    Split in contiguous blocks: the first 80 % to train on, 10 % to choose by, and the last 10 % for
    the figures of the model card.

    Parameters
    ----------
    A : (k, n, n) array_like
        Real matrices, in the order in which they came.
    net : {"prior", "dense", "resnet", "feedback", "spectral"}
        ``prior`` fits in NumPy within seconds; the others are trained, and need torch.
    targets : (k, n, n) array_like, optional
        What the inverses are to be, for ``prior`` and the losses ``mse`` and ``mae``; by default
        the inverses themselves.
    mout : path-like, optional
        Prefix of the model directory, as for ``dmxtrain``; by default a temporary one that goes
        with the inverter.
    **options
        Settings of the training: those of ``dmxtrain``.

    Returns
    -------
    Inverter

    Raises
    ------
    ValueError
        When A is no such stack, or an option does not fit.
    TrainingError
        When hardly any of the matrices has an inverse.

    Examples
    --------
    >>> import numpy as np
    >>> from deepmatrixinversion.training import fit
    >>> t = np.linspace(0, 1, 200)[:, None, None]
    >>> A = np.eye(4) + t * np.ones((4, 4))
    >>> inverter = fit(A)
    >>> bool(inverter.inv_ex(A).certificate.certified.all())
    True
    """
    data = data_set(A, targets)
    recipe = recipe_for(data, {"net": net, "data": NAME, **options}, targets is not None)
    folder = None
    if mout is None:
        folder = tempfile.mkdtemp(prefix="deepmatrixinversion-")
        mout = Path(folder) / net
    directory = new_directory(mout, recipe, data)
    train_into(directory, recipe, command=f"deepmatrixinversion.training.fit(A, net={net!r}, ...)")
    inverter = Inverter.from_pretrained(directory)
    if folder is not None:
        weakref.finalize(inverter, shutil.rmtree, folder, ignore_errors=True)
    return inverter


def recipe_for(data: DataSet, options: dict[str, Any], has_targets: bool) -> Recipe:
    """The recipe that fits the data: its order and range are the matrices' own.

    Raises
    ------
    ValueError
        When another order is asked for.
    """
    n = data.A.shape[-1]
    given = {k: v for k, v in options.items() if v is not None}
    spectral = given.get("net") == "spectral"
    order = "orders" if spectral else "msize"
    own: dict[str, Any] = {"rmin": float(data.A.min()), "rmax": float(data.A.max())}
    own[order] = str(n) if spectral else n
    if str(given.get(order, n)) != str(n):
        raise ValueError(f"{order} is {given[order]}, but the matrices are of order {n}")
    if not own["rmin"] < own["rmax"]:
        own["rmax"] = own["rmin"] + 1.0  # one value alone
    if has_targets:
        given.setdefault("targets", NAME)
    return Recipe.from_options(given | own | {"det_min": 0.0})


def train_into(directory: Path, recipe: Recipe, *, command: str) -> None:
    """Train what the recipe says, without a word."""
    if recipe.net == "prior":
        fit_and_finish(directory, recipe, command=command)
        return
    # Here, so that a prior needs no torch.
    from deepmatrixinversion.training.finish import finish
    from deepmatrixinversion.training.run import train

    train(directory, recipe, quiet=True)
    finish(directory, recipe, command=command)
