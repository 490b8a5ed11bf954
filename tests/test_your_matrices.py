"""The reports of priors and of overfitting: families, baselines, pages in small."""

# pyright: reportArgumentType=false

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from test_examples import check_png

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def unit(A):
    return A / np.linalg.norm(A, axis=(1, 2), keepdims=True)


@pytest.mark.parametrize("n", [8, 17])
def test_families_are_finite_and_what_they_are_called(n):
    import your_families

    for family in your_families.FAMILIES:
        try:
            A = family.draw(
                np.random.default_rng(0), 12, n - n % 4 if "MIMO over" in family.name else n
            )
        except ImportError:
            continue
        assert len(A) == 12
        assert np.isfinite(A).all()
        assert np.linalg.cond(A).max() < 1e6, family.name
        if "kernel" in family.name or "innovations" in family.name:
            assert (np.linalg.eigvalsh(A) > 0).all()
    steps = np.linalg.norm(np.diff(your_families.kalman(np.random.default_rng(0), 9, n), axis=0))
    assert 0 < steps < 0.9 * 9 * n


def test_chebyshev_on_known_bounds_is_the_oracle():
    import schedules
    import your_baselines

    rng = np.random.default_rng(1)
    Q = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    A = (Q * np.linspace(0.1, 1.0, 8)) @ Q.T
    A = 0.5 * (A + A.T)[None]
    # From the identity, two products less.
    found = your_baselines.chebyshev(A, A) + 2
    r = 1.0 - np.linalg.eigvalsh(A)
    for products, degrees in schedules.best_compositions(30).items():
        *_, state = schedules.chebyshev(r, degrees)
        if np.linalg.norm(state.eigenvalues) <= 1e-3:
            assert found.tolist() == [products]
            break
    shear = A + np.triu(np.ones((8, 8)), 1)  # not symmetric: from its transpose
    assert your_baselines.chebyshev(shear, shear)[0] > your_baselines.chebyshev(A, A)[0] + 2
    assert your_baselines.chebyshev(A, 100 * A).tolist() == [your_baselines.NEVER]


def test_low_rank_plus_identity_is_a_low_rank_preconditioners_day():
    import your_baselines

    rng = np.random.default_rng(2)
    U = rng.standard_normal((5, 16, 2))
    A = unit(U @ U.swapaxes(1, 2) + 1e-3 * np.eye(16))
    overhead = your_baselines.low_rank(A) - np.floor(your_baselines.low_rank(A))
    assert (your_baselines.low_rank(A) < 4).all()
    assert (overhead > 0).all()


def test_the_report_names_what_is_missing(tmp_path):
    words = ["--orders", "8", "--count", "120", "--out", str(tmp_path)]
    code = "import sys; sys.modules['pandapower'] = sys.modules['sionna'] = None\n"
    code += f"sys.argv = ['', *{words!r}]; sys.path.insert(0, {str(BENCHMARKS)!r})\n"
    code += "import your_matrices; your_matrices.main()"
    subprocess.run([sys.executable, "-c", code], check=True)
    text = (tmp_path / "your-matrices.md").read_text()
    assert "power grid (pandapower) (needs pandapower" in text
    assert "| GP kernel on a grid | few parameters | 8 |" in text
    assert "nan" not in text.replace("Kalman innovations", "")
    assert "- normal entries, n = 8: nothing to gain." in text
    check_png(tmp_path / "your-matrices.png")


@pytest.mark.slow
def test_the_report_of_overfitting(tmp_path):
    page, plot = tmp_path / "overfitting.md", tmp_path / "overfitting.png"
    words = ["--steps", "40", "--batch", "16", "--markdown", str(page), "--plot", str(plot)]
    subprocess.run([sys.executable, str(BENCHMARKS / "overfitting.py"), *words], check=True)
    text = page.read_text()
    assert text.count("| dense |") == text.count("| resnet |") == 4
    assert "nan" not in text
    check_png(plot)
