"""Train a small network in Python (needs the extra `train`), and compare it with no training.

python examples/02_train_small.py [FOLDER FOR THE PLOT] [EPOCHS]
"""

import sys
import tempfile
from pathlib import Path

from deepmatrixinversion.models.directory import CURVE
from deepmatrixinversion.reporting.figure_files import save_figure
from deepmatrixinversion.reporting.plots import training_curves
from deepmatrixinversion.training.curve import read_curve
from deepmatrixinversion.training.finish import finish
from deepmatrixinversion.training.recipe import Recipe
from deepmatrixinversion.training.run import new_directory, train


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    # Two blocks: untrained they leave a median residual of 1e-2, so there is something to learn.
    recipe = Recipe.from_options(
        {
            "msize": 3,
            "nlayers": 2,
            "nunits": 32,
            "nmx_samples": 100_000,
            "epochs": epochs,
            "batch_size": 512,
            "device": "cpu",
        }
    )
    with tempfile.TemporaryDirectory() as temporary:
        directory = new_directory(Path(temporary) / "small", recipe)
        train(directory, recipe)
        curve = read_curve(directory / CURVE)
        unfiltered, filtered = finish(directory, recipe, command="examples/02_train_small.py")
    print(f"residual median: untrained {curve[0].residual_median:.1e}")
    print(f"                   trained {unfiltered.residual.median:.1e}")
    print(f"failures, none left out: {1 - unfiltered.residual.below_one:.3%}")
    print(f"MAE where |det| > 0.1: {filtered.errors.mae:.1e}")
    rows = [row._asdict() | {"matrices": row.step * recipe.batch_size} for row in curve]
    title = f"2 blocks of width 32, {epochs * recipe.nmx_samples:,} matrices of order 3"
    save_figure(training_curves(rows, title=title), folder / "02_train_small.png")


if __name__ == "__main__":
    main()
