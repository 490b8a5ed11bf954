"""Export models to ONNX and compare each with PyTorch
===================================================

Thirteen of the models beside this file, each with its leading axis dynamic.

Needs the extra `train`, which brings PyTorch: pip install '.[train]' in a checkout. Three
models call Kornia and GPyTorch, and are left out where those are not installed.
"""

import argparse
import importlib
import pathlib

MODELS = (
    "gaussian_process",
    "kalman_filter",
    "glow",
    "camera",
    "ridge_regression",
    "polynomial_fit",
    "thin_plate_spline",
    "mimo_detector",
    "mimo_complex",
    "beamformer",
    "kornia_camera",
    "kornia_spline",
    "gpytorch_posterior",
)


def export(model, inputs, file) -> None:
    """Write a model with the table's inverses, its leading axis dynamic."""
    import torch

    from deepmatrixinversion.export import exportable_program, onnx_translation_table

    batch = torch.export.Dim("batch", min=1)
    shapes = tuple({0: batch} for _ in inputs)
    torch.onnx.export(
        exportable_program(model.eval(), inputs, dynamic_shapes=shapes),
        f=file,
        dynamo=True,
        external_data=False,
        verbose=False,
        dynamic_shapes=shapes,
        custom_translation_table=onnx_translation_table(),
    )


def main() -> None:
    """Write one .onnx file a model and print its largest difference from PyTorch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(), metavar="DIR")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    # After --help, which needs none of them.
    import onnxruntime
    import torch

    for name in MODELS:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            print(f"{name}: left out, {error.name} is not installed")
            continue
        model, inputs = module.example(torch.Generator().manual_seed(0))
        file = str(folder / f"{name}.onnx")
        export(model, inputs, file)
        # Other inputs, and more of them, than it was exported with.
        model, inputs = module.example(torch.Generator().manual_seed(1), batch=5)
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        names = [i.name for i in session.get_inputs()]
        feed = {k: v.numpy() for k, v in zip(names, inputs, strict=True)}
        results = session.run(None, feed)
        with torch.no_grad():
            expected = model(*inputs)
        expected = expected if isinstance(expected, tuple) else (expected,)
        worst = max(
            float((torch.from_numpy(r) - e).abs().max())
            for r, e in zip(results, expected, strict=True)
        )
        print(f"{file}: largest difference from PyTorch {worst:.1e}")


if __name__ == "__main__":
    main()
