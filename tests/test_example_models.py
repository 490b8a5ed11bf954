"""The models of examples/onnx_models export, run in onnxruntime and agree with PyTorch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

import export_models
from test_translation import export, run

FOLDER = Path(__file__).parents[1] / "examples" / "onnx_models"

# Largest condition number of the matrices that each inverts, with the order, for its tolerance.
MODELS = {
    "gaussian_process": (32, 3e3),
    "kalman_filter": (8, 300),
    "glow-12": (12, 30),
    "glow-48": (48, 300),
    "camera": (4, 2e3),
    "ridge_regression": (16, 3e3),
    "polynomial_fit": (4, 30),
    "thin_plate_spline": (19, 300),
    "mimo_detector": (32, 1e3),
    "kornia_camera": (4, 2e3),
    "kornia_spline": (19, 300),
    "gpytorch_posterior": (32, 3e3),
}


class Positional(torch.nn.Module):
    """A model whose inputs are one tuple, as ``export`` names them."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *inputs):
        return self.model(*inputs)


def load(name):
    module, _, channels = name.partition("-")
    library = module.partition("_")[0]
    if library in ("kornia", "gpytorch"):
        pytest.importorskip(library, reason=f"{library} is not installed: pip install {library}")
    spec = importlib.util.spec_from_file_location(module, FOLDER / f"{module}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    options = {"channels": int(channels)} if channels else {}

    def example(seed, batch, dtype):
        generator = torch.Generator().manual_seed(seed)
        return loaded.example(generator, batch=batch, dtype=dtype, **options)

    return example


@pytest.mark.parametrize("name", MODELS)
def test_exports_and_agrees(name):
    example = load(name)
    model, inputs = example(0, 2, torch.float32)
    proto = export(Positional(model.eval()), inputs)
    model, inputs = example(1, 5, torch.float32)
    results = run(proto, inputs)
    with torch.no_grad():
        expected = model(*inputs)
        reference = model.double()(*(t.double() for t in inputs))
    expected, reference = (e if isinstance(e, tuple) else (e,) for e in (expected, reference))
    order, kappa = MODELS[name]
    for ours, theirs, exact in zip(results, expected, reference, strict=True):
        limit = 4 * order * torch.finfo(torch.float32).eps * kappa * exact.norm()
        assert (torch.from_numpy(ours) - theirs).norm() <= limit
        # Nor is it further from the truth than PyTorch in float32, by more than a small factor.
        error, usual = (torch.as_tensor(x).double() - exact for x in (ours, theirs))
        assert error.norm() <= 8 * usual.norm() + order * 1.2e-7 * exact.norm()


OTHERS = sorted(set(export_models.names()) - {name.partition("-")[0] for name in MODELS})


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_models_after_publications_export_and_agree(name):
    assert "too large" not in export_models.measure(name, rounds=1)[export_models.ERROR]


def test_all_are_there():
    files = {p.stem for p in FOLDER.glob("*.py")} - {"export_all"}
    assert files >= {name.partition("-")[0] for name in MODELS}
    assert len(files) >= 30
