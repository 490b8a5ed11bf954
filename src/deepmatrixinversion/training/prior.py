"""From a run directory with data to a model directory of ``prior`` (no torch here)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save

from deepmatrixinversion.atomic import atomic_bytes, atomic_text
from deepmatrixinversion.errors import TrainingError
from deepmatrixinversion.inference.functions import inv_ex
from deepmatrixinversion.linalg.greedy import Array
from deepmatrixinversion.linalg.scaling import Scaled
from deepmatrixinversion.linalg.stack import Stack
from deepmatrixinversion.models.config import ModelConfig, NetConfig
from deepmatrixinversion.models.directory import CARD, member_file, seal
from deepmatrixinversion.prior.costs import Data, unit_data
from deepmatrixinversion.prior.fit import Fitted, fit_prior
from deepmatrixinversion.prior.store import tensors
from deepmatrixinversion.reporting.prior_card import prior_card
from deepmatrixinversion.training.dataset import DATA, DataSet, load_data
from deepmatrixinversion.training.recipe import Recipe


def fit_and_finish(directory: Path, recipe: Recipe, *, command: str) -> Fitted:
    """Fit a prior to a run directory's data and turn the directory into a model directory.

    Raises
    ------
    TrainingError
        When too few of the matrices have a certified inverse.
    """
    train, validation, test = (_inverted(part) for part in load_data(directory).blocks())
    if min(map(len, (train.S, validation.S, test.S))) == 0:
        raise TrainingError(
            f"{recipe.data}: too few of the matrices have a certified inverse; leave out those "
            "that are singular, or give --targets"
        )
    fitted = fit_prior(
        train,
        validation,
        test,
        stored=recipe.nunits,
        combined=recipe.nlayers,
        seed=recipe.seed,
    )
    prior = fitted.prior
    net = NetConfig("prior", prior.order, len(prior.inverses), prior.nearest)
    config = ModelConfig(net, 1, recipe.training_data(), recipe.loss, recipe.seed)
    atomic_bytes(directory / member_file(1), save(tensors(prior)))
    counts = tuple(len(part.S) for part in (train, validation, test))
    card = prior_card(directory.name, fitted, counts, recipe.data, command)
    atomic_text(directory / CARD, card)
    seal(directory, config)
    (directory / DATA).unlink(missing_ok=True)
    return fitted


def _inverted(part: DataSet) -> Data:
    """Matrices as the engine scales them, of norm 1, with their targets or certified inverses.

    Scaled as a user's matrices will be: rows and columns are evened out where they are uneven.
    """
    if not len(part.A):
        return Data(part.A, part.A)
    scaled = Scaled.of(np.ascontiguousarray(part.A))
    if part.targets is None:
        result = inv_ex(part.A)
        good, X = result.certificate.certified, result.inverse
    else:
        good, X = np.ones(len(part.A), dtype=bool), part.targets
    S: Array = scaled.S.matrices()[good]
    Y = scaled.scaled(Stack.of(X)).matrices()[good]
    return unit_data(S, Y)
