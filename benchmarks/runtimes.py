"""Exported files in other runtimes: what converts, what runs, how exact and how fast.

    make runtimes
    python benchmarks/runtimes.py --markdown docs/runtimes.md

Each runtime lives in an environment of its own, below ``--environments``, which ``--install``
makes: their requirements contradict one another. Browser rows need Chromium and Node.js, tinygrad
needs clang. A row is green only where the file ran here and its inverses were right; what is
missing or fails keeps a row that says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from page import arguments, write_page
from runtimes_browser import in_browser
from runtimes_files import (
    ALLOWED,
    FILES,
    HERE,
    NATIVE,
    TITLES,
    File,
    Row,
    matrices,
    prepare,
)
from runtimes_kinds import KINDS
from runtimes_page import tables

ENVIRONMENTS = HERE.parent / "build" / "runtimes"
TORCH = ["torch==2.13.0", "numpy", "onnx==1.23.2"]
WEB = "onnxruntime-web@1.30.0"
REQUIREMENTS = {
    "openvino": ["openvino==2026.4.1", "numpy"],
    "litert": ["litert-torch==0.10.0", *TORCH],
    "coreml": ["coremltools==9.0", *TORCH],
    "executorch": ["executorch==1.5.1", *TORCH],
    "tinygrad": ["tinygrad==0.14.0", "onnx==1.23.2", "numpy"],
    "iree": ["iree-base-compiler[onnx]==3.13.0", "iree-base-runtime==3.13.0", "numpy"],
    "tvm": ["apache-tvm==0.27.0.post1", "onnx==1.23.2", "numpy"],
}


def environment() -> dict[str, str]:
    """One thread for all, and tinygrad's CPU device."""
    return os.environ | {"OMP_NUM_THREADS": "1", "DEV": "CPU"}


def install(folder: Path, names: list[str]) -> None:
    """Make the environments; what does not install leaves its reason and stops nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        print(f"installing {name}", file=sys.stderr)
        if name in REQUIREMENTS:
            target = folder / name
            if (target / "installed").exists():
                continue
            subprocess.run([sys.executable, "-m", "venv", target], check=True)
            words = [target / "bin/python", "-m", "pip", "install", "--quiet", *REQUIREMENTS[name]]
        elif name in ("node", "browser"):
            target = folder / "npm"
            target.mkdir(exist_ok=True)
            (target / "package.json").write_text("{}\n")
            words = ["npm", "install", "--silent", WEB]
        else:
            continue
        done = subprocess.run(words, cwd=target, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            (target / "installed").touch()
            (target / "failed").unlink(missing_ok=True)
        else:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            (target / "failed").write_text(errors[-1] if errors else "the installer failed")


def run_one(name: str, folder: Path, environments: Path, seconds: float) -> dict[str, Any]:
    """What a runtime found, or a ``reason`` for all files."""
    home = environments / ("npm" if name in ("node", "browser") else name)
    if (home / "failed").exists():
        return {"reason": f"does not install: {(home / 'failed').read_text()}"}
    if name != "onnxruntime" and not home.exists():
        return {"reason": "not installed"}
    python = sys.executable if name == "onnxruntime" else home / "bin" / "python"
    words, where = [python, HERE / "runtimes_workers.py", name, folder], folder
    if name == "node":
        words = ["node", HERE / "runtimes_web.mjs", folder, *(file.name for file in FILES)]
        where = home
    try:
        if name == "browser":
            in_browser(folder, home)
        else:
            subprocess.run(
                words,
                cwd=where,
                env=environment(),
                check=True,
                capture_output=True,
                text=True,
                timeout=seconds,
            )
    except subprocess.TimeoutExpired:
        path = folder / f"{name}.json"
        done = json.loads(path.read_text()) if path.exists() else {}
        return done | {"reason": f"not done within {seconds:.0f} s"}
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines()
        return {"reason": lines[-1] if lines else f"ended with status {error.returncode}"}
    except (RuntimeError, FileNotFoundError) as error:
        return {"reason": str(error)}
    found = json.loads((folder / f"{name}.json").read_text())
    return {"reason": found["error"]} if "error" in found else found


def rows_of(name: str, found: dict[str, Any], folder: Path) -> list[Row]:
    """A row for each file, checked against float64."""
    rows = []
    for file in FILES:
        given = found.get("files", {}).get(file.name, {"reason": found.get("reason", "")})
        row = Row(
            TITLES[name],
            str(found.get("version", "")),
            file.name,
            converts=bool(given.get("converts")),
            runs=bool(given.get("runs")),
            reason=" ".join(given.get("reason", "").replace("|", "/").split())[:160],
            us=given.get("us"),
        )
        if native_us := given.get("native_us"):
            row = row._replace(native=NATIVE.get(name, "none"), native_us=native_us)
        rows.append(row.judged(*_kept(name, file, folder), file.kind) if row.runs else row)
    return rows


def _kept(name: str, file: File, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The matrices of a file, and what a runtime has made of them."""
    A = np.load(folder / f"{file.name}.npy")
    path = folder / f"{name}-{file.name}.npy"
    if path.exists():
        return A, np.load(path)
    X = np.fromfile(path.with_suffix(".bin"), np.float32)
    return A, X.reshape(len(A), *KINDS[file.kind].answer(A[:1]).shape[1:])


def measure_opset(opset: int, folder: Path, count: int) -> Row:
    """onnxruntime with the same file of order 16 in one opset."""
    from deepmatrixinversion.export.inverse import export_onnx
    from runtimes_workers import microseconds, onnxruntime, reason, version

    A = matrices(File("", 16, "auto", 1000.0, ""), count)
    row = Row(f"opset {opset}", version("onnxruntime"))
    try:
        path = folder / f"opset-{opset}.onnx"
        export_onnx(16, path, opset=opset)
        row = row._replace(converts=True)
        run = onnxruntime(path, A)
        return row._replace(runs=True, us=microseconds(run, A)).judged(A, run(A))
    except Exception as caught:
        return row._replace(reason=reason(caught))


def main() -> None:
    """Install, or measure and report."""
    p = arguments(__doc__, count=200, timeout=600.0)
    p.add_argument("--install", action="store_true", help="make the environments, and stop")
    p.add_argument("--environments", type=Path, default=ENVIRONMENTS, metavar="DIR")
    p.add_argument("--only", nargs="+", choices=TITLES, default=list(TITLES), metavar="RUNTIME")
    p.add_argument("--opsets", type=int, nargs=2, default=(17, 25), metavar=("FROM", "TO"))
    p.add_argument("--folder", type=Path, metavar="DIR", help="keep all there, and go on from it")
    p.add_argument("--json", type=Path, metavar="FILE", help="the rows, for tests")
    options = p.parse_args()
    if options.install:
        install(options.environments, options.only)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        prepare(folder, options.count)
        rows = []
        for runtime in options.only:
            print(runtime, file=sys.stderr)
            found = run_one(runtime, folder, options.environments.absolute(), options.timeout)
            rows += rows_of(runtime, found, folder)
        first, last = options.opsets
        opsets = [measure_opset(o, folder, options.count) for o in range(first, last + 1)]
    if options.json is not None:
        options.json.write_text(json.dumps([row._asdict() for row in [*rows, *opsets]], indent=1))
    said = {"count": options.count, "allowed": ALLOWED}
    write_page(options.markdown, "runtimes", tables=tables(rows, opsets), **said)


if __name__ == "__main__":
    main()
