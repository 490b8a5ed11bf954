"""Training one network: fresh matrices, a step, now and then a look, a checkpoint."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from deepmatrixinversion.errors import TrainingError
from deepmatrixinversion.nets import Trajectory, build
from deepmatrixinversion.training.checkpoints import (
    Progress,
    checkpoint_file,
    load_checkpoint,
    save_checkpoint,
)
from deepmatrixinversion.training.curve import Look
from deepmatrixinversion.training.losses import LOSSES, RESIDUAL_FLOOR
from deepmatrixinversion.training.matrices import Batch, Supply, supply
from deepmatrixinversion.training.recipe import Recipe
from deepmatrixinversion.training.recorder import Recorder
from deepmatrixinversion.training.streams import INITIAL_WEIGHTS, TRAINING, stream_seed

WARMUP_STEPS = 100
GRADIENT_NORM = 1.0
LOOK_EVERY = 50
MOST_SKIPPED_IN_A_ROW = 200


class Objective(nn.Module):
    """Network and loss in one module, so that data parallelism sees a single forward pass."""

    def __init__(self, net: nn.Module, loss: str) -> None:
        super().__init__()
        self.net = net
        self.loss = LOSSES[loss]
        self.counts = loss == "products"

    def forward(self, A: Tensor, target: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The loss, and ‖R‖F of each last candidate."""
        trajectory: Trajectory = self.net.trajectory(A)  # type: ignore[operator]
        return self.loss(trajectory, A, target), trajectory.residuals[-1].detach()


def train_member(
    fabric: Fabric,
    recipe: Recipe,
    member: int,
    directory: Path,
    recorder: Recorder | None,
) -> dict[str, Tensor]:
    """Train member 1, 2, … of the ensemble and return its best weights, on the CPU.

    The main process has a recorder, the others have none.

    Continues from the member's checkpoint in ``directory`` when there is one. Every step's
    matrices are a function of (seed, member, step, process), the learning rate of the step, so
    that a resumed run equals an uninterrupted one bit for bit on the same machine.

    Raises
    ------
    TrainingError
        When too many gradients in a row are not finite; the checkpoint keeps the best weights.
    """
    net, objective, optimizer = _prepare(fabric, recipe, member)
    path = checkpoint_file(directory, member)
    matrices = supply(recipe, fabric.device, directory)
    selection = matrices.selection(member)
    if path.exists():
        best, progress = load_checkpoint(path, net, optimizer)
    else:
        # The untrained network is a candidate too: feedback and spectral begin as good iterations.
        best, progress = (
            _copy(net),
            Progress(best_metric=_select(fabric, objective, selection).metric),
        )
    budget = math.inf if recipe.max_minutes is None else 60 * recipe.max_minutes / recipe.n_repeats
    started = saved = time.monotonic()
    first, elapsed_before = progress.step, progress.elapsed

    def save() -> None:
        if recorder is not None:
            recorder.save()
            save_checkpoint(path, net, best, optimizer, progress)

    while progress.step < recipe.total_steps:
        done = _fraction(fabric, progress, recipe.total_steps, budget)
        if done >= 1:
            break
        lr = _learning_rate(recipe.lr, progress.step, done)
        loss, residuals = _step(
            fabric, recipe, matrices, member, objective, optimizer, progress, lr
        )
        progress.step += 1
        progress.elapsed = elapsed_before + time.monotonic() - started
        if progress.skipped_in_a_row >= MOST_SKIPPED_IN_A_ROW:
            save()
            raise TrainingError(
                f"member {member}: {progress.skipped_in_a_row} gradients in a row were not finite "
                f"at step {progress.step}; the best weights (step {progress.best_step}) are in "
                f"{path}; try a smaller --lr or another --loss"
            )
        last = progress.step == recipe.total_steps
        epoch_ends = progress.step % recipe.steps_per_epoch == 0 or last
        chosen = None
        if epoch_ends:
            chosen = _select(fabric, objective, selection)
            if (metric := chosen.metric) < progress.best_metric:
                progress.best_metric, progress.best_step = metric, progress.step
                best = _copy(net)
        looks = epoch_ends or progress.step % LOOK_EVERY == 0 or progress.step == 1
        if looks and recorder is not None:
            seconds = time.monotonic() - started
            recorder.look(
                Look(
                    member=member,
                    epoch=-(-progress.step // recipe.steps_per_epoch),
                    step=progress.step,
                    done=done,
                    loss=loss,
                    residual_median=float(residuals.median()),
                    below_one=float((residuals < 1).float().mean()),
                    lr=lr,
                    skipped=progress.skipped,
                    matrices_per_second=(progress.step - first) * recipe.batch_size / seconds,
                    selection=None if chosen is None else chosen.metric,
                    validation_loss=None if chosen is None else chosen.loss,
                    validation_median=None if chosen is None else chosen.median,
                )
            )
        if epoch_ends or time.monotonic() - saved > recipe.checkpoint_seconds:
            save()
            saved = time.monotonic()
    if (metric := _select(fabric, objective, selection).metric) < progress.best_metric:
        progress.best_metric, progress.best_step = metric, progress.step
        best = _copy(net)
    save()
    return best


def _prepare(
    fabric: Fabric, recipe: Recipe, member: int
) -> tuple[nn.Module, nn.Module, torch.optim.Optimizer]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(INITIAL_WEIGHTS, recipe.seed, member))
        net = build(recipe.net_config())
    # Small decay for the gated network; none for the published ones, which used plain Adam.
    decay = 0.01 if recipe.net == "feedback" else 0.0
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.lr, weight_decay=decay)
    objective, optimizer = fabric.setup(Objective(net, recipe.loss), optimizer)
    return net, objective, optimizer


def _step(
    fabric: Fabric,
    recipe: Recipe,
    matrices: Supply,
    member: int,
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    lr: float,
) -> tuple[float, Tensor]:
    order, count = recipe.shape_at(progress.step)
    position = (member, progress.step, fabric.global_rank)
    batch = matrices.draw(TRAINING, order, count // fabric.world_size, *position)
    for group in optimizer.param_groups:
        group["lr"] = lr
    loss, residuals = objective(*batch)
    optimizer.zero_grad()
    fabric.backward(loss)
    norm = nn.utils.clip_grad_norm_(objective.parameters(), GRADIENT_NORM)
    # Data parallelism has averaged the gradients: every process sees the same norm.
    if torch.isfinite(norm):
        optimizer.step()
        progress.skipped_in_a_row = 0
    else:
        progress.skipped += 1
        progress.skipped_in_a_row += 1
    return loss.item(), residuals


def _fraction(fabric: Fabric, progress: Progress, total_steps: int, budget: float) -> float:
    """How much of the run is done, by steps or by time, the same in every process."""
    if budget == math.inf:
        return progress.step / total_steps
    fraction = max(progress.step / total_steps, progress.elapsed / budget)
    return _reduced(fabric, torch.tensor(fraction, device=fabric.device), "max")


def _learning_rate(peak: float, step: int, done: float) -> float:
    """Linear warm-up over the first steps, then a half cosine down to zero."""
    return peak * min(1.0, (step + 1) / WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * done))


class Selected(NamedTuple):
    """What the best weights are chosen by, with the loss and the median of ‖R‖F there."""

    metric: float
    loss: float
    median: float


@torch.no_grad()
def _select(fabric: Fabric, objective: nn.Module, selection: list[Batch]) -> Selected:
    """The metric is the logarithm of the last residuals, or products."""
    results = [objective(*batch) for batch in selection]
    loss = torch.stack([value for value, _ in results]).mean()
    residuals = torch.cat([last for _, last in results])
    residuals = torch.nan_to_num(residuals, nan=1e30, posinf=1e30)
    metric = loss if objective.counts else torch.log10(residuals + RESIDUAL_FLOOR).mean()
    # The same matrices in every process: the mean only makes them agree on the last bits.
    values = (metric, loss, residuals.median())
    return Selected(*(_reduced(fabric, value, "mean") for value in values))


def _reduced(fabric: Fabric, value: Tensor, operation: str) -> float:
    if fabric.world_size == 1:
        return float(value)
    result = fabric.all_reduce(value, reduce_op=operation)
    assert isinstance(result, Tensor)
    return float(result)


def _copy(net: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().cpu().clone() for k, v in net.state_dict().items()}
