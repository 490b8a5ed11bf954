"""Train a small network, and compare it with no training
=========================================================

One block of width 32 for matrices of order 8: untrained it leaves a median residual of 2e-2, so
there is something to learn. Needs the extra `train`, which brings PyTorch:
pip install '.[train]' in a checkout.
"""

import argparse
import tempfile
from pathlib import Path

from deepmatrixinversion.models.directory import CURVE
from deepmatrixinversion.reporting.figure_files import save_figure
from deepmatrixinversion.reporting.plots import training_curves

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where the plot goes")
parser.add_argument("--epochs", type=int, default=4, help="of 100,000 matrices (%(default)s)")


def main() -> None:
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    from deepmatrixinversion.training.curve import read_curve
    from deepmatrixinversion.training.directory import new_directory
    from deepmatrixinversion.training.finish import finish
    from deepmatrixinversion.training.recipe import Recipe
    from deepmatrixinversion.training.run import train

    size = {"msize": 8, "nlayers": 1, "nunits": 32, "nmx_samples": 100_000, "batch_size": 512}
    recipe = Recipe.from_options({**size, "epochs": options.epochs, "device": "cpu"})
    with tempfile.TemporaryDirectory() as temporary:
        directory = new_directory(Path(temporary) / "small", recipe)
        train(directory, recipe)
        curve = read_curve(directory / CURVE)
        finished = finish(directory, recipe, command="examples/02_train_small.py")
    unfiltered, filtered = finished.evaluations
    print(f"residual median: untrained {curve[0].residual_median:.1e}")
    print(f"                   trained {unfiltered.residual.median:.1e}")
    print(f"failures, none left out: {1 - unfiltered.residual.below_one:.3%}")
    print(f"MAE where |det| > 0.1: {filtered.errors.mae:.1e}")
    rows = [row._asdict() | {"matrices": row.step * recipe.batch_size} for row in curve]
    matrices = options.epochs * recipe.nmx_samples
    title = f"1 block of width 32, {matrices:,} matrices of order 8"
    save_figure(training_curves(rows, title=title), options.out / "02_train_small.png")


if __name__ == "__main__":
    main()
