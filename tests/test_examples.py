"""The examples run as they stand, keep what they promise and leave a plot."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
ARGUMENTS = {
    "06_large": ["--order", "64"],
    "benchmark_inversion": ["--largest", "32"],
}
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))
SLOW = {"02_train_small"}
NUMBER = r"(-?\d+(?:\.\d+)?(?:e[-+]\d+)?)"


def run(name, folder):
    """What an example prints; it must end well, and leave its plot in ``folder`` alone."""
    words = [str(EXAMPLES / f"{name}.py"), "--out", str(folder), *ARGUMENTS.get(name, [])]
    elsewhere = folder / "working"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=elsewhere, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(elsewhere.iterdir()) == []
    assert sorted(p.name for p in folder.iterdir()) == sorted([f"{name}.png", "working"])
    check_png(folder / f"{name}.png")
    return done.stdout


def check_png(path):
    """A PNG of a size fit for a page, with a picture in it."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    assert 600 <= width <= 3000
    assert 400 <= height <= 2000
    assert 5_000 < len(data) < 1_000_000


def number(pattern, text):
    """The number that stands for # in the pattern, which must occur once."""
    (found,) = re.findall(pattern.replace("#", NUMBER), text)
    return float(found)


def check_idea(text):
    guess, one, two = (float(v) for v in re.findall(rf"steps: .*= {NUMBER}", text))
    assert one < 10 * guess**2  # the number of right digits doubles, but for the norm
    assert two < 1e-13
    assert number(r"certified: True, no entry is off by more than #", text) < 1e-14


def check_invert(text):
    assert number(r"largest entry of \|I - AX\|: #", text) < 1e-9
    assert number(r"certified: #%", text) == 100
    assert "not certified: [7]" in text


def check_train(text):
    before, after = number(r"untrained #", text), number(r" trained #", text)
    assert after < 0.6 * before
    assert number(r"none left out: #%", text) < 1


def check_least_squares(text):
    assert number(r"largest difference:\s+#", text) <= 1e-10
    ours, numpy = (re.findall(NUMBER, line) for line in text.splitlines()[:2])
    assert len(ours) == 3
    assert ours == numpy
    assert [round(float(v)) for v in ours] == [5, 2, -3]
    assert number(r"error bound:\s+#", text) <= 1e-10


def check_box_draper(text):
    errors = [float(e) for e in re.findall(rf"error {NUMBER}", text)]
    assert len(errors) == 11  # ten coefficients and the largest
    assert max(errors) <= 1e-9
    assert max(errors) <= number(r"proven bound #", text) <= 1e-9


def check_singular(text):
    assert "certified as inverses: 0 of 10000" in text
    assert number(r"R2 #", text) >= 0.99999
    ranks = [number(rf"of rank {r}: #", text) for r in range(3)]
    assert ranks[0] == 0
    assert sum(ranks) == 10_000
    assert min(ranks[1:]) > 4500
    assert number(r"largest Penrose residual: #", text) < 1e-12


def check_large(text):
    rows = re.findall(rf"order\s+(\d+): recursion {NUMBER}, polished {NUMBER}", text)
    assert [int(order) for order, _, _ in rows] == [4, 8, 16, 32, 64]
    for _, recursion, polished in rows:
        assert float(polished) <= float(recursion) < 1e-8
    assert "certified: True" in text
    assert number(r"\nresidual: #", text) < 1e-9


def check_benchmark(text):
    rows = [line.split() for line in text.splitlines()[1:]]
    assert [int(row[0]) for row in rows] == [3, 6, 10, 32]
    for _, ours, numpy, ratio, residual, lapack in (map(float, row) for row in rows):
        # Of what is printed, half of the last digit.
        relative = 0.0005 / ours + 0.0005 / numpy + 0.005 / ratio
        assert ratio == pytest.approx(ours / numpy, rel=1.1 * relative)
        assert 0 <= residual < 1e-10
        assert lapack < 1e-10


CHECKS = {
    "00_idea": check_idea,
    "01_invert": check_invert,
    "02_train_small": check_train,
    "03_least_squares_3x3": check_least_squares,
    "04_box_draper": check_box_draper,
    "05_singular": check_singular,
    "06_large": check_large,
    "benchmark_inversion": check_benchmark,
}


def test_every_example_is_checked():
    assert list(CHECKS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short(name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 60


@pytest.mark.parametrize("name", [*NAMES, "onnx_models/export_all"])
def test_an_example_explains_itself_without_its_extra(name):
    script = EXAMPLES / f"{name}.py"
    hide = f"import sys, runpy; sys.modules['torch'] = None; sys.argv = ['{script.name}', '--help']"
    words = [sys.executable, "-c", f"{hide}; runpy.run_path({str(script)!r}, run_name='__main__')"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--out DIR" in done.stdout
    needed = re.findall(r"Needs (no extra|the extra `\w+`)", done.stdout)
    assert needed == ["the extra `train`" if "torch" in script.read_text().lower() else "no extra"]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in NAMES]
)
def test_an_example_keeps_its_promises(name, tmp_path):
    if name == "02_train_small":
        pytest.importorskip("torch")
    CHECKS[name](run(name, tmp_path))
