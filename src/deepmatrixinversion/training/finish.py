"""From trained members to a model directory: graph, evaluation, plots, card, configuration."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from deepmatrixinversion.atomic import atomic_bytes, atomic_text
from deepmatrixinversion.export.graph import onnx_bytes
from deepmatrixinversion.inference.inverter import Inverter
from deepmatrixinversion.models.config import ModelConfig, TrainingData
from deepmatrixinversion.models.directory import CARD, CURVE, GRAPH, ModelDirectory, seal
from deepmatrixinversion.nets.weights import load_ensemble
from deepmatrixinversion.reporting.card import model_card
from deepmatrixinversion.reporting.figure_files import save_figure
from deepmatrixinversion.reporting.metrics import Evaluation
from deepmatrixinversion.reporting.plots import (
    predicted_against_true,
    residual_histogram,
    training_curves,
)
from deepmatrixinversion.training.checkpoints import checkpoint_file, read_progress
from deepmatrixinversion.training.curve import read_curve
from deepmatrixinversion.training.dataset import DATA, load_data
from deepmatrixinversion.training.evaluation import evaluate, measured
from deepmatrixinversion.training.recipe import Recipe

REFERENCE_DET_MIN = 0.1


class Finished(NamedTuple):
    """What a finished training can do, and the members whose best weights were the first ones."""

    evaluations: list[Evaluation]
    untrained: list[int]


def finish(
    directory: Path, recipe: Recipe, *, command: str, plotout: str | None = None
) -> Finished:
    """Turn a directory whose members are all trained into a model directory.

    Parameters
    ----------
    directory : Path
        Where the members' weights are.
    recipe : Recipe
        Their training.
    command : str
        The command that repeats it, for the card.
    plotout : str, optional
        Where to draw the predictions on fresh validation matrices as well.

    Returns
    -------
    Finished
        Measured on the training's own range: unfiltered uniform matrices, those with |det| > 0.1,
        and the training distribution itself where it is another. For ``spectral`` normal matrices
        of each order, at 20 products. For data of the user's own their test block.
    """
    members = range(1, recipe.n_repeats + 1)
    checkpoints = [checkpoint_file(directory, member) for member in members]
    progress = [read_progress(path) for path in checkpoints]
    config = ModelConfig(
        net=recipe.net_config(),
        members=recipe.n_repeats,
        data=recipe.training_data(),
        loss=recipe.loss,
        seed=recipe.seed,
    )
    model = ModelDirectory(directory, config, directory.name)
    ensemble = load_ensemble(model)
    atomic_bytes(directory / GRAPH, onnx_bytes(ensemble, recipe.msize))
    evaluations = evaluated(Inverter(model), recipe, directory)
    _draw(directory, recipe, evaluations, plotout)
    card = model_card(
        directory.name,
        config,
        sum(p.numel() for p in ensemble.parameters()) // recipe.n_repeats,
        recipe.to_dict(),
        command,
        [p.step for p in progress],
        [p.best_step for p in progress],
        [p.skipped for p in progress],
        evaluations,
    )
    atomic_text(directory / CARD, card)
    seal(directory, config)
    for path in (*checkpoints, directory / DATA):
        path.unlink(missing_ok=True)
    untrained = [k for k, p in zip(members, progress, strict=True) if p.best_step == 0]
    return Finished(evaluations, untrained)


def evaluated(inverter: Inverter, recipe: Recipe, directory: Path) -> list[Evaluation]:
    """What the card says of a trained model: see `finish`."""
    data = recipe.training_data()
    if recipe.data:
        test = load_data(directory).blocks()[2]
        products = 20 if recipe.net == "spectral" else None
        return [measured(inverter, test.A.shape[-1], data, [test], products)]
    if recipe.net == "spectral":
        return [
            evaluate(
                inverter,
                order,
                TrainingData("normal"),
                matrices=max(500, 400_000 // order**2),
                seed=recipe.seed,
                max_products=20,
            )
            for order in sorted(set(recipe.order_cycle()))
        ]
    kinds = [TrainingData("uniform", data.rmin, data.rmax, d) for d in (0.0, REFERENCE_DET_MIN)]
    kinds += [data] * (data not in kinds)
    return [evaluate(inverter, recipe.msize, kind, seed=recipe.seed) for kind in kinds]


def _draw(
    directory: Path, recipe: Recipe, evaluations: list[Evaluation], plotout: str | None
) -> None:
    unfiltered, filtered = evaluations[0], evaluations[min(1, len(evaluations) - 1)]
    title = f"{directory.name}: raw predictions on unseen matrices\n"
    figure = predicted_against_true(
        filtered.entries.targets,
        filtered.entries.predictions,
        filtered.errors,
        title=f"{title}{filtered.kind}",
        matrices=filtered.matrices,
    )
    save_figure(figure, directory / "validation.png")
    if plotout is not None:
        save_figure(figure, plotout)
    figure = residual_histogram(unfiltered.residual_values, title=f"{title}{unfiltered.kind}")
    save_figure(figure, directory / "residuals.png")
    rows = [row._asdict() for row in read_curve(directory / CURVE)]
    for row in rows:
        row["matrices"] = row["step"] * recipe.batch_size
    figure = training_curves(rows, title=f"{directory.name}: training")
    save_figure(figure, directory / "training.png")
