"""``dmxtrain``: train an ensemble of networks that invert matrices."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepmatrixinversion.cli.program import (
    Parser,
    finite_float,
    non_negative_int,
    positive_float,
    positive_int,
    require_torch,
    run,
)
from deepmatrixinversion.matrices.distributions import DISTRIBUTIONS
from deepmatrixinversion.models.config import NET_NAMES
from deepmatrixinversion.reporting.figure_files import check_plot_target
from deepmatrixinversion.signals import Terminated

_DEFAULT = "(default: by --net)"


def parser() -> Parser:
    """The command line of ``dmxtrain``."""
    p = Parser(
        prog="dmxtrain",
        description="Train networks that invert matrices, on matrices made fresh for every step.",
        formatter_class=argparse.HelpFormatter,
    )
    add = p.add_argument
    add("--msize", type=non_negative_int, help="order of the matrices (required, but for spectral)")
    add("--net", choices=NET_NAMES, help="kind of network (default: feedback)")
    add(
        "--data",
        metavar="FILE",
        help="matrices of your own to learn from, in any format, instead of a distribution: the "
        "first 80 %% to train on, 10 %% to choose by, 10 %% to test on (prior needs them)",
    )
    add("--targets", metavar="FILE", help="their inverses, for prior, mse and mae (default: exact)")
    add("--orders", help="orders that spectral trains on in turn (default: 2,4,8,16,32,48,64)")
    add("--nunits", type=positive_int, help=f"width of a layer {_DEFAULT}")
    add("--nlayers", type=positive_int, help=f"number of layers or blocks {_DEFAULT}")
    add("--rmin", type=finite_float, help="lower end of the matrices' range (default: -1)")
    add("--rmax", type=finite_float, help="upper end of the matrices' range (default: 1)")
    add(
        "--distribution",
        help=f"matrices to train on: {', '.join(DISTRIBUTIONS)}, or several joined by + {_DEFAULT}",
    )
    add("--det_min", type=finite_float, help=f"keep matrices with |det| above this {_DEFAULT}")
    add("--loss", help=f"log_residual, frobenius, products, mse or mae {_DEFAULT}")
    add("--nmx_samples", type=positive_int, help="matrices in an epoch (default: 1000000)")
    add("--epochs", type=positive_int, help="epochs (default: 10)")
    add("--batch_size", type=positive_int, help="matrices in a step (default: 1024)")
    add("--n_repeats", type=positive_int, help="members of the ensemble (default: 1)")
    add("--lr", type=positive_float, help=f"peak learning rate {_DEFAULT}")
    add("--seed", type=non_negative_int, help="seed of weights and matrices (default: 0)")
    add("--device", help="cpu, cuda, mps or auto (default: auto)")
    add("--devices", type=positive_int, help="processes that share each step (default: 1)")
    add(
        "--threads",
        type=non_negative_int,
        help=f"threads of each process on the CPU, 0 for torch's choice {_DEFAULT}",
    )
    add("--precision", choices=("32", "64", "bf16"), help="arithmetic in training (default: 32)")
    add(
        "--max_minutes",
        type=positive_float,
        help="stop by then, for the whole ensemble, with the learning rate annealed to the clock; "
        "such a run cannot be repeated bit for bit",
    )
    add(
        "--checkpoint_seconds",
        type=positive_float,
        help="longest time between checkpoints (default: 30)",
    )
    add("--mout", default=None, help="prefix of the model directory (default: ./Model)")
    add("--plotout", help="plot of predictions on fresh matrices: a file name, or 'screen'")
    add("--resume", metavar="DIR", help="go on with the training in this directory")
    add(
        "--import",
        dest="source",
        metavar="DIR",
        help="make a model directory of the Keras files in this one (needs h5py); trains nothing",
    )
    add("--config", metavar="FILE.toml", help="options from a TOML file; the command line wins")
    add("--quiet", action="store_true", help="no progress bar")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``dmxtrain`` and return its exit status."""
    return run(_train, parser().parse_args(argv))


def _train(options: argparse.Namespace) -> int:
    # Here, so that --help and bad options answer at once.
    from deepmatrixinversion.training.dataset import read_data
    from deepmatrixinversion.training.directory import is_finished, new_directory, read_recipe
    from deepmatrixinversion.training.fit import recipe_for
    from deepmatrixinversion.training.recipe import Recipe, read_toml

    check_plot_target(options.plotout)
    names = [f.name for f in dataclasses.fields(Recipe)]
    given = {k: v for k in names if (v := getattr(options, k)) is not None}
    if options.source is not None:
        if given or options.config or options.resume:
            raise ValueError("--import takes its networks as they are: give --mout with it alone")
        return _import(options)
    if options.resume is not None:
        if given or options.config or options.mout:
            raise ValueError("--resume goes on with the recipe of its directory: give no other")
        directory = Path(options.resume)
        recipe = read_recipe(directory)
        if not is_finished(directory):
            print(f"resuming {directory}: {_position(directory, recipe)}", file=sys.stderr)
    else:
        if options.config is not None:
            given = read_toml(options.config) | given
        data = None
        if given.get("data"):
            data = read_data(given["data"], given.get("targets"))
            recipe = recipe_for(data, given, "targets" in given)
        else:
            recipe = Recipe.from_options(given)
        _check(recipe)
        directory = new_directory(options.mout or "./Model", recipe, data)
        print(f"training into {directory}", file=sys.stderr)
    try:
        _train_into(directory, options)
    except (KeyboardInterrupt, Terminated):
        again = shlex.join(["dmxtrain", "--resume", str(directory)])
        print(f"go on with: {again}", file=sys.stderr)
        raise
    print(directory)
    return 0


def _check(recipe: Any) -> None:
    """Say what cannot be trained here before a directory is made."""
    if recipe.net == "prior":
        return
    require_torch("training")
    from deepmatrixinversion.training.run import check_data, check_memory, make_fabric

    check_memory(recipe)
    make_fabric(recipe)
    check_data(recipe)


def _position(directory: Path, recipe: Any) -> str:
    if recipe.net == "prior":
        return "the fit, from its beginning"
    require_torch("training")
    from deepmatrixinversion.training.run import position

    return position(directory, recipe)


def _train_into(directory: Path, options: argparse.Namespace) -> None:
    from deepmatrixinversion.training.directory import RECIPE, is_finished, read_recipe
    from deepmatrixinversion.training.lock import one_writer

    with one_writer(directory / RECIPE):
        if is_finished(directory):
            print(f"{directory}: this training is already finished", file=sys.stderr)
            return
        recipe = read_recipe(directory)
        command = repeat_command(recipe.to_dict())
        if recipe.net == "prior":
            _fit_prior(directory, recipe, command)
        else:
            _train_network(directory, recipe, command, options)


def _fit_prior(directory: Path, recipe: Any, command: str) -> None:
    from deepmatrixinversion.reporting.prior_card import verdict
    from deepmatrixinversion.training.prior import fit_and_finish

    fitted = fit_and_finish(directory, recipe, command=command)
    for row in fitted.rows:
        print(
            f"{row.name}: products to 1e-3: mean {row.mean:.1f}, 99 % {row.most:.1f}, of which "
            f"overhead {row.overhead:.2f}{' (chosen)' * (row.name == fitted.chosen)}",
            file=sys.stderr,
        )
    print(verdict(fitted), file=sys.stderr)


def _train_network(directory: Path, recipe: Any, command: str, options: argparse.Namespace) -> None:
    require_torch("training")
    from deepmatrixinversion.training.finish import finish
    from deepmatrixinversion.training.run import train

    train(directory, recipe, quiet=options.quiet)
    finished = finish(directory, recipe, command=command, plotout=options.plotout)
    _tell(finished.evaluations)
    if finished.untrained:
        which = ", ".join(map(str, finished.untrained))
        print(
            "warning: training did not improve on the untrained network; that is what was saved"
            + (f" (member {which} of {recipe.n_repeats})" if recipe.n_repeats > 1 else ""),
            file=sys.stderr,
        )


def _import(options: argparse.Namespace) -> int:
    from deepmatrixinversion.training.imported import import_model

    directory, evaluations = import_model(Path(options.source), options.mout or "./Model")
    _tell(evaluations)
    print(directory)
    return 0


def _tell(evaluations: list[Any]) -> None:
    """What raw answers are worth, on stderr."""
    for e in evaluations:
        failures = 1 - e.residual.below_one
        r2 = f"{e.errors.r2:.6f}" if e.errors.r2 > -10 else f"{e.errors.r2:.1e}"
        print(
            f"{e.kind}: R2 {r2}, MAE {e.errors.mae:.2e}, residual median "
            f"{e.residual.median:.1e}, failures {100 * failures:.3f} %",
            file=sys.stderr,
        )
        if failures > 0:
            print(
                f"warning: {failures * e.matrices:.0f} of {e.matrices} of these answers are no "
                "inverses (a residual of 1 or more), before refinement",
                file=sys.stderr,
            )


def repeat_command(recipe: dict) -> str:
    """The command line that repeats a recipe, whatever the defaults of a later release."""
    words = ["dmxtrain"]
    for name, value in recipe.items():
        unsaid = value is None or (name in ("data", "targets") and not value)
        if not unsaid and name != "checkpoint_seconds":
            text = str(value)
            # argparse takes "-1e-05" for an option unless it is joined to the one before.
            words += [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]
    return shlex.join(words)


if __name__ == "__main__":
    sys.exit(main())
