"""Exported files in other runtimes: what converts, what runs, how exact and how fast.

    make runtimes
    python benchmarks/runtimes.py --markdown docs/runtimes.md

Each runtime lives in an environment of its own, below ``--environments``, which ``--install``
makes: their requirements contradict one another. Browser rows need Chromium and Node.js, tinygrad
needs clang. A row is green only where the file ran here and its inverses were right; what is
missing or fails keeps a row that says so.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepmatrixinversion.matrices.spectra import with_condition

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parent / "build" / "runtimes"


class File(NamedTuple):
    """A file that all runtimes get, and the largest condition number of the matrices for it."""

    name: str
    order: int
    net: str
    kappa: float
    title: str


FILES = (
    File("4-adjugate", 4, "adjugate", 1000.0, "adjugate"),
    File("8-elimination", 8, "auto", 1000.0, "elimination (auto)"),
    File("8-iterative", 8, "iterative", 1000.0, "iterative"),
    File("8-feedback", 8, "feedback", 1000.0, "network feedback-8"),
    File("16-elimination", 16, "auto", 1000.0, "elimination (auto)"),
    File("16-iterative", 16, "iterative", 1000.0, "iterative"),
)
"""What ``dmxexport`` writes by itself, and the forms that avoid ``ArgMax`` and ``Gather``."""
# Times the condition number times 2^-24, as LAPACK's own error would be.
ALLOWED = 16.0
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
TITLES = {
    "onnxruntime": "onnxruntime, CPU",
    "node": "onnxruntime-web, WASM in Node",
    "browser": "onnxruntime-web, WASM in headless Chromium",
    "openvino": "OpenVINO, CPU",
    "litert": "LiteRT (litert-torch), CPU",
    "coreml": "Core ML (coremltools)",
    "executorch": "ExecuTorch (XNNPACK)",
    "tinygrad": "tinygrad, CPU",
    "iree": "IREE, llvm-cpu",
    "tvm": "TVM (Relax), llvm",
}
NATIVE = {
    "onnxruntime": "com.microsoft.Inverse",
    "node": "com.microsoft.Inverse",
    "browser": "com.microsoft.Inverse",
    "openvino": "Inverse-14",
}
"""The runtimes with an inverse of their own, outside ONNX's standard, and its name."""
CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Row(NamedTuple):
    """One runtime with one file; ``reason`` says what went wrong."""

    title: str
    version: str
    file: str
    converts: bool
    runs: bool
    reason: str
    difference: float | None
    in_units: float | None
    us: float | None
    native: str
    native_us: float | None


def matrices(order: int, largest: float, count: int) -> np.ndarray:
    """Float32 matrices, condition numbers spread from 1 to the largest, in their logarithms."""
    rng = np.random.default_rng(order)
    kappa = np.logspace(0, np.log10(largest), count)
    return with_condition(rng, order, kappa).astype(np.float32)


def differences(A: np.ndarray, X: np.ndarray) -> tuple[float, float]:
    """Largest ‖X - A⁻¹‖F/‖A⁻¹‖F against float64, and the largest of it over κ(A) 2^-24."""
    A = A.astype(np.float64)
    Y = np.linalg.inv(A)
    error = np.linalg.norm(X - Y, axis=(1, 2)) / np.linalg.norm(Y, axis=(1, 2))
    # Not max: a NaN must not be passed over.
    return float(np.max(error)), float(np.max(error / (np.linalg.cond(A) * 2.0**-24)))


def prepare(folder: Path, count: int) -> None:
    """The files and the matrices that all runtimes get."""
    from onnx import TensorProto, helper, save

    from deepmatrixinversion.export.inverse import export_onnx

    for file in FILES:
        n = file.order
        export_onnx(n, folder / f"{file.name}.onnx", net=file.net)
        A = matrices(n, file.kappa, count)
        np.save(folder / f"{file.name}.npy", A)
        A.tofile(folder / f"{file.name}.bin")
        ports = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", n, n])
            for name in ("A", "inverse")
        ]
        node = helper.make_node("Inverse", ["A"], ["inverse"], domain="com.microsoft")
        domains = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
        graph = helper.make_graph([node], "native", ports[:1], ports[1:])
        made = helper.make_model(graph, opset_imports=domains, ir_version=10)
        save(made, folder / f"native-{file.name}.onnx")


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


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves one folder, and keeps there what the page sends back."""

    def do_POST(self) -> None:
        """Store a result; ``browser.json`` is the last."""
        name = Path(self.path).name
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if name.startswith("browser"):
            (Path(self.directory) / name).write_bytes(data)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def in_browser(folder: Path, npm: Path, seconds: float = 240) -> None:
    """Let headless Chromium measure; ``RuntimeError`` where it gives no answer."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise RuntimeError("Chromium is not installed")
    (folder / "ort").mkdir(exist_ok=True)
    for name in ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        shutil.copy(npm / "node_modules/onnxruntime-web/dist" / name, folder / "ort")
    for name in ("runtimes_web.mjs", "runtimes_web.html"):
        shutil.copy(HERE / name, folder)
    answer = folder / "browser.json"
    handler = functools.partial(Handler, directory=str(folder))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        names = ",".join(file.name for file in FILES)
        page = f"http://127.0.0.1:{server.server_port}/runtimes_web.html?files={names}"
        words = [chromium, *CHROMIUM, f"--user-data-dir={profile}", "--remote-debugging-port=0"]
        browser = subprocess.Popen(
            [*words, page], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            end = time.monotonic() + seconds
            while not answer.exists() and time.monotonic() < end and browser.poll() is None:
                time.sleep(0.2)
            time.sleep(0.5)  # until it is written to the end
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()
    if not answer.exists():
        raise RuntimeError("the page gave no answer")


def run_one(name: str, folder: Path, environments: Path, seconds: float) -> dict[str, Any]:
    """What a runtime found, or a ``reason`` for all files."""
    home = environments / ("npm" if name in ("node", "browser") else name)
    if (home / "failed").exists():
        return {"reason": f"does not install: {(home / 'failed').read_text()}"}
    worker = [HERE / "runtimes_workers.py", name, folder]
    try:
        if name == "onnxruntime":
            words, where = [sys.executable, *worker], folder
        elif not home.exists():
            return {"reason": "not installed"}
        elif name == "node":
            names = [file.name for file in FILES]
            words, where = ["node", HERE / "runtimes_web.mjs", folder, *names], home
        elif name == "browser":
            in_browser(folder, home)
            words, where = [], folder
        else:
            words, where = [home / "bin" / "python", *worker], folder
        if words:
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
    for n in (file.name for file in FILES):
        given = found.get("files", {}).get(n, {"reason": found.get("reason", "")})
        reason = given.get("reason", "")
        runs, difference, units = bool(given.get("runs")), None, None
        if runs:
            A = np.load(folder / f"{n}.npy")
            path = folder / f"{name}-{n}.npy"
            if path.exists():
                X = np.load(path)
            else:
                X = np.fromfile(path.with_suffix(".bin"), np.float32).reshape(A.shape)
            difference, units = differences(A, X)
            if not units < ALLOWED:
                runs, reason = False, f"wrong by {units:.0f} κ 2⁻²⁴"
        native_us = given.get("native_us")
        rows.append(
            Row(
                TITLES[name],
                str(found.get("version", "")),
                n,
                bool(given.get("converts")),
                runs,
                " ".join(reason.replace("|", "/").split())[:160],
                difference,
                units,
                given.get("us"),
                NATIVE.get(name, "none") if native_us else "none",
                native_us,
            )
        )
    return rows


def measure_opset(opset: int, folder: Path, count: int, order: int = 16) -> Row:
    """onnxruntime with the same file in one opset."""
    from deepmatrixinversion.export.inverse import export_onnx
    from runtimes_workers import microseconds, onnxruntime, reason, version

    A = matrices(order, 1000.0, count)
    title, number = f"opset {opset}", version("onnxruntime")
    converts, us, error, units, why = False, None, None, None, ""
    try:
        path = folder / f"opset-{opset}.onnx"
        export_onnx(order, path, opset=opset)
        converts = True
        run = onnxruntime(path, A)
        error, units = differences(A, run(A))
        us = microseconds(run, A)
    except Exception as caught:
        why = reason(caught)
    good = units is not None and units < ALLOWED
    return Row(title, number, "", converts, good, why, error, units, us, "none", None)


def _mark(good: bool) -> str:
    return "✅" if good else "❌"


def _line(row: Row) -> str:
    def number(value: float | None, digits: str) -> str:
        return "" if value is None else format(value, digits)

    # A difference without a green mark would look like a result.
    shown = row if row.runs else row._replace(difference=None, in_units=None, us=None)
    name = shown.title + (f" {shown.version}" if shown.version else "")
    runs = _mark(row.runs) + (f" {row.reason}" if row.reason else "")
    native = shown.native
    if shown.us and shown.native_us:
        ratio = shown.us / shown.native_us
        native = f"{shown.native}: {shown.native_us:.2g} µs, file takes {ratio:.3g} times that"
    cells = [
        name,
        _mark(row.converts),
        runs,
        number(shown.difference, ".1e"),
        number(shown.in_units, ".1f"),
        number(shown.us, ".3g"),
        native,
    ]
    return "| " + " | ".join(cells) + " |"


HEAD = """\
| runtime | converts | runs | largest difference | in κ 2⁻²⁴ | µs a matrix | its own inverse |
| --- | --- | --- | --- | --- | --- | --- |"""


def page(rows: list[Row], opsets: list[Row], count: int) -> str:
    """The report."""
    parts = [
        f"""\
# Exported files in other runtimes

Written by `make runtimes`, or by `python benchmarks/runtimes.py --markdown docs/runtimes.md` once
the runtimes are installed. A mark is green only for what happened in that run, on this machine
({platform.machine()}, CPU, one thread).

Each runtime gets the files that `dmxexport --msize 8` and `16` write (opset 18, float32), called
auto below; that of `--msize 4 --net adjugate`; those of `--net iterative` and `feedback`, made of
matrix products and elementwise operations; and {count} matrices for each, their condition numbers κ
spread evenly in their logarithms. *Runs* means that all inverses agree with the float64 inverse
within {ALLOWED:.0f} κ 2⁻²⁴. *Largest difference* is ‖X - A⁻¹‖F/‖A⁻¹‖F of the worst matrix; *in
κ 2⁻²⁴* divides each matrix's by its condition number and float32's rounding, so that about 1 is as
exact as float32 inverses get.

Times are of stacks of {count} matrices, and those of a busy machine: read the ratios. *Its own
inverse* is an operator outside ONNX's standard, or of the runtime's own API. Where a runtime has
one, and the file need not run anywhere else, it is far faster and the better choice.

LiteRT, Core ML and ExecuTorch convert from PyTorch: they get the ONNX file through the short
interpreter in `benchmarks/runtimes_torch.py`, with a fixed batch of {count}.
"""
    ]
    for file in reversed(FILES):
        n = file.order
        parts.append(f"\n## {n}x{n}: {file.title}, κ up to {file.kappa:.0f}\n\n{HEAD}\n")
        parts += [_line(row) + "\n" for row in rows if row.file == file.name]
    if opsets:
        parts.append(f"\n## Opsets: onnxruntime, CPU, 16x16\n\n{HEAD}\n")
        parts += [_line(row._replace(version="")) + "\n" for row in opsets]
    return "".join(parts)


def main() -> None:
    """Install, or measure and report."""
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    p.add_argument("--install", action="store_true", help="make the environments, and stop")
    p.add_argument("--environments", type=Path, default=ENVIRONMENTS, metavar="DIR")
    p.add_argument("--only", nargs="+", choices=TITLES, default=list(TITLES), metavar="RUNTIME")
    p.add_argument("--opsets", type=int, nargs=2, default=(17, 25), metavar=("FROM", "TO"))
    p.add_argument("--count", type=int, default=200, help="matrices for each file")
    p.add_argument("--timeout", type=float, default=600, help="seconds that a runtime may take")
    p.add_argument("--markdown", type=Path, metavar="FILE")
    p.add_argument("--json", type=Path, metavar="FILE", help="the rows, for tests")
    options = p.parse_args()
    if options.install:
        install(options.environments, options.only)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, options.count)
        rows = []
        for runtime in options.only:
            print(runtime, file=sys.stderr)
            home = options.environments.absolute()
            found = run_one(runtime, folder, home, options.timeout)
            rows += rows_of(runtime, found, folder)
        first, last = options.opsets
        opsets = [measure_opset(o, folder, options.count) for o in range(first, last + 1)]
    if options.json is not None:
        options.json.write_text(json.dumps([row._asdict() for row in [*rows, *opsets]], indent=1))
    text = page(rows, opsets, options.count)
    if options.markdown is None:
        print(text, end="")
    else:
        from deepmatrixinversion.atomic import atomic_text

        atomic_text(options.markdown, text)


if __name__ == "__main__":
    main()
