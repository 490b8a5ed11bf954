"""A whole training: its members one after another, until all have left their weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric
from safetensors.torch import save as save_safetensors
from torch.multiprocessing.spawn import ProcessRaisedException

from deepmatrixinversion.atomic import atomic_bytes
from deepmatrixinversion.errors import USER_ERRORS, ModelError, TrainingError
from deepmatrixinversion.matrices.distributions import sample
from deepmatrixinversion.matrices.memory import check_memory as refuse_memory
from deepmatrixinversion.models.directory import member_file
from deepmatrixinversion.models.weights import weight_shapes
from deepmatrixinversion.signals import exit_on_termination
from deepmatrixinversion.training.checkpoints import checkpoint_file, read_progress
from deepmatrixinversion.training.loop import train_member
from deepmatrixinversion.training.plan import planned
from deepmatrixinversion.training.progress import TrainingProgress
from deepmatrixinversion.training.recipe import PRECISIONS, Recipe
from deepmatrixinversion.training.recorder import Recorder
from deepmatrixinversion.training.source import TorchSource


def position(directory: Path, recipe: Recipe) -> str:
    """Where an interrupted training goes on, in words."""
    members = range(1, recipe.n_repeats + 1)
    waiting = [k for k in members if not (directory / member_file(k)).exists()]
    if not waiting:
        return "all members trained, the model to be finished"
    step = read_progress(checkpoint_file(directory, waiting[0])).step
    return f"member {waiting[0]} of {recipe.n_repeats}, step {step} of {recipe.total_steps}"


def make_fabric(recipe: Recipe) -> Fabric:
    """Lightning Fabric for the recipe's device, processes and precision.

    Raises
    ------
    ModelError
        When the device is unknown or absent.
    """
    _require_device(recipe.device)
    try:
        return Fabric(
            accelerator=recipe.device,
            devices=recipe.devices,
            strategy="ddp_spawn" if recipe.devices > 1 else "auto",
            precision=PRECISIONS[recipe.precision],  # type: ignore[arg-type]
        )
    except (ValueError, RuntimeError) as error:
        raise ModelError(
            f"cannot train on device '{recipe.device}' with {recipe.devices} devices ({error})"
        ) from None


def _require_device(device: str) -> None:
    present = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if device in ("gpu", *present) and not any(
        there() for name, there in present.items() if device in (name, "gpu")
    ):
        raise ModelError(
            f"there is no device '{device}' here that torch can use: leave out --device, or give "
            "--device cpu"
        )


def check_memory(recipe: Recipe) -> None:
    """Refuse, before a directory is made, what cannot fit into this machine's memory.

    Counted are the least that a step holds: the weights with their gradient, two moments and the
    best ones so far, and the matrices with one answer.

    Raises
    ------
    ValueError
        When that is more than there is.
    """
    size = 8 if recipe.precision == "64" else 4
    weights = sum(math.prod(shape) for shape in weight_shapes(recipe.net_config()).values())
    steps = map(recipe.shape_at, range(len(recipe.order_cycle())))
    matrices = max(count * order**2 for order, count in steps)
    names = f"batch_size {recipe.batch_size}, msize {recipe.msize}, nunits {recipe.nunits}"
    refuse_memory(names, size * (5 * weights + 2 * matrices), "a step of this training")


def check_data(recipe: Recipe) -> None:
    """Draw one matrix, so that what cannot be drawn is said before a directory is made.

    Raises
    ------
    ValueError
        When the range is too wide, or hardly any matrix passes the determinant filter.
    """
    if recipe.data:
        return
    d = recipe.training_data()
    for order in set(recipe.order_cycle()):
        sample(TorchSource(0), d.distribution, 1, order, d.rmin, d.rmax, det_min=d.det_min)


def train(directory: Path, recipe: Recipe, *, quiet: bool = False) -> None:
    """Train every member that is not done yet, in one process or several, into ``directory``.

    Raises
    ------
    TrainingError
        When a member cannot go on; what was learned stays in the directory.
    """
    check_memory(recipe)
    fabric = make_fabric(recipe)
    for stale in directory.glob(".*.tmp"):  # what a run killed while writing has left behind
        stale.unlink(missing_ok=True)
    # A partial of a module's function can be sent to a spawned process; a closure cannot.
    _launch(fabric, partial(_train_members, directory=directory, recipe=recipe, quiet=quiet))


def _launch(fabric: Fabric, work: Callable[[Fabric], None]) -> None:
    try:
        fabric.launch(work)
    except RuntimeError as error:
        # torch has an exception of its own for the memory of GPUs alone.
        if not any(words in str(error) for words in ("t allocate memory", "out of memory")):
            raise
        raise TrainingError(
            "a step does not fit into memory: try a smaller --batch_size or --nunits"
        ) from None
    except ProcessRaisedException as error:
        # All that is left of a spawned process's exception is the text of its traceback.
        _, expected, sentence = str(error).rpartition(f"{TrainingError.__module__}.TrainingError: ")
        if not expected:
            raise
        raise TrainingError(sentence.strip()) from None


def _train_members(fabric: Fabric, directory: Path, recipe: Recipe, quiet: bool) -> None:
    try:
        with exit_on_termination():
            _train_in_this_process(fabric, directory, recipe, quiet)
    except USER_ERRORS as error:
        if fabric.world_size == 1:
            raise
        raise TrainingError(" ".join(str(error).split())) from None


def _train_in_this_process(fabric: Fabric, directory: Path, recipe: Recipe, quiet: bool) -> None:
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    with TrainingProgress(recipe, show=fabric.is_global_zero and not quiet) as progress:
        for member in range(1, recipe.n_repeats + 1):
            finished = directory / member_file(member)
            if finished.exists():
                continue
            recorder = Recorder(directory, member, progress) if fabric.is_global_zero else None
            try:
                best = train_member(fabric, recipe, member, directory, recorder)
            finally:
                if recorder is not None:
                    recorder.close()
            if recorder is not None:
                if recipe.net == "spectral":
                    best = planned(best, recipe, member, directory)
                weights = {k: v.float().contiguous() for k, v in best.items()}
                atomic_bytes(finished, save_safetensors(weights))
            # No process may look for this member's file before it is there.
            fabric.barrier()
