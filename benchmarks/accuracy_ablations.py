"""The ablations of the accuracy report: what each choice in feedback and spectral buys."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from safetensors.torch import load_file

from accuracy_data import hostile, residuals
from accuracy_networks import run, share
from deepmatrixinversion.matrices.distributions import NumpySource, sample
from deepmatrixinversion.models.weights import FEEDBACK_DEGREE
from deepmatrixinversion.nets import Feedback, Spectral, build, feedback
from deepmatrixinversion.spectral.driver import spectral_guess
from deepmatrixinversion.training import loop
from deepmatrixinversion.training.directory import new_directory
from deepmatrixinversion.training.recipe import Recipe
from deepmatrixinversion.training.run import train
from page import records

Variant = tuple[str, dict[str, Any]]


def short_training(
    options: dict[str, Any], change: Callable[[Any], None] | None = None
) -> tuple[torch.nn.Module, int]:
    """A network trained for a short while, and the matrices it saw.

    ``change`` is applied to the network before its first step.
    """
    recipe = Recipe.from_options({"device": "cpu", "epochs": 1} | options)

    def changed(config):
        net = build(config)
        if change is not None:
            change(net)
        return net

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(loop, "build", changed):
        directory = new_directory(Path(folder) / "short", recipe)
        train(directory, recipe, quiet=True)
        net = build(recipe.net_config())
        net.load_state_dict(load_file(directory / "member_1.safetensors"))
        steps = int((directory / "training.csv").read_text().splitlines()[-1].split(",")[2])
    return net, steps * recipe.batch_size


def compare(n: int, rows: list[Variant], matrices: int, seed: int) -> str:
    """Train each variant, and judge all on the same fresh matrices of order n."""
    A = np.random.default_rng([seed, 33, n]).uniform(-1, 1, (matrices, n, n))
    source = NumpySource(np.random.default_rng([seed, 34, n]))
    spread = sample(source, "spectrum", matrices, n, -1.0, 1.0)
    regular = np.abs(np.linalg.det(A)) > 0.1
    truth = np.linalg.inv(A[regular])
    found = []
    for name, options in rows:
        options = {"msize": n} | options
        change: Any = options.pop("change", None)
        if options.pop("untrained", False):
            torch.manual_seed(seed)
            net = build(Recipe.from_options(options).net_config())
            seen = 0
        else:
            net, seen = short_training(options, change)
        X = run(net, A)
        r, s = residuals(A, X), residuals(spread, run(net, spread))
        found.append(
            {
                "network": name,
                "products": net.products if isinstance(net, Feedback) else "none",
                "matrices seen": f"{seen:,}",
                "below 1": f"{share(r, 1):.3f} %",
                "below 1e-3": f"{share(r, 1e-3):.2f} %",
                "median residual": f"{np.median(r):.1e}",
                "MAE, \\|det\\| > 0.1": f"{np.abs(X[regular] - truth).mean():.1e}",
                "spread spectra: below 1": f"{share(s, 1):.2f} %",
                "spread spectra: below 1e-3": f"{share(s, 1e-3):.2f} %",
            }
        )
        print(found[-1], flush=True)
    return records(found)


def same_time(minutes: float) -> list[Variant]:
    """3x3 networks trained for the same wall time."""
    timed = {"max_minutes": minutes, "epochs": 1000, "threads": 1}
    return [
        ("feedback, 1 block of 32", {"nlayers": 1, "nunits": 32, **timed}),
        ("dense, 7 layers of 128", {"net": "dense", "lr": 1e-3, **timed}),
        ("resnet, the published one", {"net": "resnet", "lr": 1e-3, **timed}),
    ]


def blind(columns: slice) -> Callable[[Any], None]:
    """Hides some features of every block: their weights are zero, and stay so."""

    def change(net: Any) -> None:
        for foresight in net.foresight:
            still_zero(foresight.gate.weight, (slice(None), columns))

    return change


def still_zero(parameter: Any, where: Any) -> None:
    """Sets entries to zero and keeps them there in training."""
    mask = torch.ones_like(parameter)
    mask[where] = 0
    with torch.no_grad():
        parameter.mul_(mask)
    parameter.register_hook(lambda gradient: gradient * mask)


def variants(samples: int) -> dict[str, list[Variant]]:
    """8x8 variants by question. One block is short of what float32 allows: there training shows."""
    one = {"nlayers": 1, "nmx_samples": samples, "lr": 1e-3}
    degree = FEEDBACK_DEGREE
    return {
        "depth": [
            (f"{blocks} block{'s' * (blocks > 1)}{', untrained' * (not trained)}",
             {**one, "nlayers": blocks, "untrained": not trained})
            for blocks in (1, 2, 3)
            for trained in (False, True)
        ],
        "features": [
            ("all", one),
            ("no moments", {**one, "change": blind(slice(3 + degree, None))}),
            ("no coefficients", {**one, "change": blind(slice(3, 3 + degree))}),
            ("norms and trace only", {**one, "change": blind(slice(3, None))}),
            ("none: the same correction for all", {**one, "change": blind(slice(None))}),
        ],
        "loss": [
            (loss, {**one, "loss": loss}) for loss in ("log_residual", "frobenius", "mse", "mae")
        ],
        "width": [
            (f"{units} units", {**one, "nunits": units}) for units in (2, 8, 32, 128)
        ],
    }  # fmt: skip


def spectral_variants() -> list[tuple[str, Callable[[Spectral], None]]]:
    """What `spectral` is without some of what it sees, keeps or decides."""

    def consultations(net: Spectral, kind: int):
        return zip(net.gate[kind::2], net.out[kind::2], strict=True)

    def forgetful(net: Spectral) -> None:
        for gate in net.gate:
            still_zero(gate.weight, (slice(None), slice(-net.units, None)))

    def norms_only(net: Spectral) -> None:
        for kind, kept in ((0, 4), (1, 2)):
            for gate, _ in consultations(net, kind):
                still_zero(gate.weight, (slice(None), slice(kept, -net.units)))

    def silent(kind: int, answers: slice) -> Callable[[Spectral], None]:
        def change(net: Spectral) -> None:
            for _, out in consultations(net, kind):
                still_zero(out.weight, answers)
                still_zero(out.bias, answers)

        return change

    return [
        ("all", lambda net: None),
        ("no hidden state", forgetful),
        ("norms and order only", norms_only),
        ("no choice of the polynomial", silent(0, slice(0, 10))),
        ("greedy coefficients", silent(1, slice(0, 3))),
        ("always all blocks", silent(0, slice(10, 11))),
    ]


def compare_spectral(samples: int, matrices: int, seed: int) -> str:
    """Short trainings on normal matrices of orders 16, 32 and 64."""
    rows = []
    options = {
        "net": "spectral", "orders": "16,32,64", "distribution": "normal", "nmx_samples": samples
    }  # fmt: skip
    for name, change in [("untrained", None), *spectral_variants()]:
        if change is None:
            net = build(Recipe.from_options(options).net_config())
        else:
            net, _ = short_training(options, change)
        weights = {k: v.detach().double().numpy() for k, v in net.named_parameters()}
        for n in (32, 64):
            count = matrices * 8 // n
            A = np.random.default_rng([seed, 36, n]).standard_normal((count, n, n))
            A /= np.linalg.norm(A, axis=(1, 2), keepdims=True)
            products = spectral_guess(weights, A, max_products=60).products.mean()
            r = residuals(A, spectral_guess(weights, A, max_products=20).X)
            figures = {"products to 1e-3": f"{products:.2f}"}
            figures["below 1e-3 at 20"] = f"{share(r, 1e-3):.2f} %"
            rows.append({"network": name, "n": n} | figures)
            print(rows[-1], flush=True)
    return records(rows)


def guard(matrices: int, seed: int, n: int = 8) -> str:
    """How often answers end worse than the start, with and without the guard."""
    A = hostile(np.random.default_rng([seed, 35]), matrices, n)
    scale = np.linalg.norm(A, axis=(1, 2), keepdims=True)
    A = A / np.where(scale > 0, scale, 1)
    start = residuals(A, A.swapaxes(1, 2))
    rows = []
    for name, spread in (("untrained", 0.0), ("N(0, 0.1²)", 0.1), ("N(0, 1)", 1.0)):
        torch.manual_seed(seed)
        net = build(Recipe.from_options({"msize": n}).net_config())
        if spread:
            for parameter in net.parameters():
                torch.nn.init.normal_(parameter, std=spread)
        worse = {}
        ways = {"with the guard": feedback.improves, "without": lambda norm, before: norm == norm}
        for way, improves in ways.items():
            with mock.patch.object(feedback, "improves", improves):
                X = run(net, A)
            with np.errstate(over="ignore", invalid="ignore"):
                slack = 2.0**-22 * n * (1 + np.linalg.norm(X, axis=(1, 2)))
            slack = np.where(np.isfinite(slack), slack, 0)
            part = np.mean(~(residuals(A, X) <= start + slack))
            worse[way] = f"{100 * part:.3f} %"
        rows.append({"weights": name} | worse)
        print(rows[-1], flush=True)
    return records(rows)
