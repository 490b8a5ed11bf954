"""Names and shapes of a network's weights, known from its configuration alone, without torch."""

from __future__ import annotations

from collections.abc import Mapping

from deepmatrixinversion.errors import quoted
from deepmatrixinversion.models.config import NetConfig
from deepmatrixinversion.prior.store import tensor_shapes
from deepmatrixinversion.spectral.advice import ANSWERS, SEEN
from deepmatrixinversion.spectral.plan import LAYERS

Shape = tuple[int, ...]

FEEDBACK_DEGREE = 5
"""Largest degree of a polynomial step of ``feedback``: beyond, float32 rounding undoes its gain."""

GROWTH_STEPS = 4
"""Times that a block of ``resnet`` grows before it is projected back."""


def weight_shapes(config: NetConfig) -> dict[str, Shape]:
    """The shape of each weight of one member, by name."""
    if config.net == "prior":
        return tensor_shapes(config.msize, config.nunits)
    layers = {"dense": _dense, "resnet": _resnet, "feedback": _feedback, "spectral": _spectral}
    shapes: dict[str, Shape] = {}
    for name, (width, answers) in layers[config.net](config).items():
        shapes[f"{name}.weight"] = (answers, width)
        shapes[f"{name}.bias"] = (answers,)
    return shapes


def first_misfit(found: Mapping[str, Shape], expected: Mapping[str, Shape]) -> str | None:
    """What first tells the weights that were found from those expected; None where nothing does."""
    for name, shape in expected.items():
        if name not in found:
            return f"{name} is missing"
        if found[name] != shape:
            return f"{name} has shape {found[name]}, not {shape}"
    return next((f"{quoted(name)} belongs to none" for name in found if name not in expected), None)


def _dense(c: NetConfig) -> dict[str, Shape]:
    n2, count = c.msize**2, c.nlayers
    widths = [n2, *[c.nunits] * count, n2]
    return {f"body.{2 * k}": (widths[k], widths[k + 1]) for k in range(count + 1)}


def _resnet(c: NetConfig) -> dict[str, Shape]:
    n2, units = c.msize**2, c.nunits
    widths = [units + 2 * units * step for step in range(GROWTH_STEPS + 1)]
    layers: dict[str, Shape] = {"body.0": (n2, units)}
    for block in range(2, c.nlayers + 2):
        for step, width in enumerate(widths[:-1]):
            layers[f"body.{block}.grow.{step}"] = (width, 2 * units)
        layers[f"body.{block}.project"] = (widths[-1], units)
    return layers | {f"body.{c.nlayers + 2}": (units, n2)}


def _feedback(c: NetConfig) -> dict[str, Shape]:
    degree = max(1, min(c.msize - 1, FEEDBACK_DEGREE))
    layers: dict[str, Shape] = {}
    for k in range(c.nlayers):
        layers[f"foresight.{k}.gate"] = (3 * degree + 1, 2 * c.nunits)
        layers[f"foresight.{k}.out"] = (c.nunits, degree)
    return layers


def _spectral(c: NetConfig) -> dict[str, Shape]:
    layers: dict[str, Shape] = dict(LAYERS)
    for k, (seen, answers) in enumerate(zip(SEEN, ANSWERS, strict=True)):
        layers[f"gate.{k}"] = (seen + c.nunits, 2 * c.nunits)
        layers[f"mix.{k}"] = (c.nunits, c.nunits)
        layers[f"out.{k}"] = (c.nunits, answers)
    return layers
