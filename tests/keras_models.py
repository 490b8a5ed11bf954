"""Makes ensembles in Keras itself, for the tests of what reads them: run by a Python that has it.

    PYTHON tests/keras_models.py keras|tf_keras FOLDER [UNITS BLOCKS]

Writes the published residual network and a plain one with every other layer, trained for a step, in
each layout that this Keras has, and ``expected.npz``: matrices, and what Keras makes of them.
`tests/keras_models.zip` holds what it wrote, in the folders ``2`` (tf_keras 2.21) and ``3`` (3.15).
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

FACTOR = 4.0


def residual(k: Any, n: int, units: int, blocks: int) -> Any:
    """The published plan: growth by concatenation, a projection back, added with ``+``."""
    entry = k.layers.Input(shape=(n, n))
    x = k.layers.Dense(units, activation="relu")(k.layers.Flatten()(entry))
    for _ in range(blocks):
        grown = x
        for _ in range(4):
            new = k.layers.Dense(2 * units, activation="relu")(grown)
            grown = k.layers.concatenate([grown, new])
        x = x + k.layers.Dense(units)(grown)
    return k.Model(entry, k.layers.Reshape((n, n))(k.layers.Dense(n * n)(x)))


def plain(k: Any, n: int) -> Any:
    """Every other layer that is read."""
    entry = k.layers.Input(shape=(n * n,), name="entries")
    x = k.layers.Dense(5, activation="tanh", name="the_first")(entry)
    x = k.layers.BatchNormalization()(x)
    y = k.layers.Activation("sigmoid")(k.layers.Dense(5, use_bias=False)(x))
    x = k.layers.Dropout(0.5)(k.layers.ReLU()(k.layers.Add()([x, y])))
    return k.Model(entry, k.layers.Dense(n * n)(k.layers.BatchNormalization(scale=False)(x)))


def spoil(model: Any, rng: np.random.Generator) -> None:
    """Weights that no initialiser would leave: nothing is zero, nothing is one."""
    model.set_weights(
        [np.abs(rng.normal(0.5, 0.2, w.shape)) * rng.choice([0.3, 1], w.shape)
         if w.ndim == 1 else rng.normal(0, w.shape[0] ** -0.5, w.shape)
         for w in model.get_weights()]
    )  # fmt: skip


def difference(truth: Any, answer: Any) -> Any:
    """A loss of one's own, which stands in the file by its name alone."""
    return (truth - answer) ** 2


def make(k: Any, folder: Path, units: int, blocks: int, layouts: tuple[str, ...]) -> None:
    """All models in all layouts, each in a folder of its own, and what Keras answers."""
    rng = np.random.default_rng(1)
    expected = {}
    for layout in layouts:
        for name, n, build in (
            ("residual", 3, lambda: residual(k, 3, units, blocks)),
            ("plain", 2, lambda: plain(k, 2)),
        ):
            here = folder / f"{name}-{layout}"
            here.mkdir(parents=True)
            A = rng.uniform(-1, 1, (8, n, n)).astype(np.float32)
            A[:, 0, 0] = np.linspace(0.51, 1.0, 8)  # the largest entry lies in (1/2, 1]
            total = 0.0
            members = 2 if (name, layout) == ("residual", "keras") else 1
            for member in range(members):
                model = build()
                model.compile(optimizer="adam", loss=difference)
                given = A.reshape(8, *model.input_shape[1:])
                model.fit(given, np.zeros((8, *model.output_shape[1:])), epochs=1, verbose=0)
                spoil(model, rng)
                model.save(here / f"{member}.{layout}")
                total = total + model.predict(given, verbose=0).reshape(A.shape)
            (here / "config.toml").write_text(f"scaling_factor = {FACTOR}\nrange_max = 1\n")
            expected[f"{here.name}.A"], expected[f"{here.name}.X"] = A, total * FACTOR / members
    np.savez(folder / "expected.npz", **expected)


if __name__ == "__main__":
    units, blocks = map(int, sys.argv[3:] or (2, 1))
    make(importlib.import_module(sys.argv[1]), Path(sys.argv[2]), units, blocks, ("keras", "h5"))
