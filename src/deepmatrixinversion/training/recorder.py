"""Records a member's training: CSV rows, TensorBoard scalars and the progress bar."""

from __future__ import annotations

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from deepmatrixinversion.models.directory import CURVE
from deepmatrixinversion.training.checkpoints import checkpoint_file, read_progress
from deepmatrixinversion.training.curve import Look, before, read_curve, write_curve
from deepmatrixinversion.training.progress import TrainingProgress

SCALARS = ("loss", "residual_median", "below_one", "lr", "skipped", "selection", "validation_loss")


class Recorder:
    """Records the steps of one member, going on where its checkpoint stands."""

    def __init__(self, directory: Path, member: int, progress: TrainingProgress) -> None:
        start = read_progress(checkpoint_file(directory, member))
        self._curve = directory / CURVE
        self._rows = before(read_curve(self._curve), member, start.step)
        self._board = SummaryWriter(
            str(directory / "tensorboard" / f"member_{member}"), purge_step=start.step + 1
        )
        self._progress = progress

    def look(self, row: Look) -> None:
        """Record a step; the CSV follows at the next ``save``."""
        self._rows.append(row)
        for name in SCALARS:
            if (value := getattr(row, name)) is not None:
                self._board.add_scalar(name, value, row.step)
        self._progress.look(row)

    def save(self) -> None:
        """Write the CSV: called before each checkpoint, so that no row of it can be missing."""
        write_curve(self._curve, self._rows)

    def close(self) -> None:
        """Write what TensorBoard still holds back."""
        self._board.close()
