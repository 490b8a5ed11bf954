"""The matrix furthest off, drawn entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from deepmatrixinversion.reporting.heatmaps import draw_example
from deepmatrixinversion.reporting.worst import Example, Worst


def test_the_worst_of_many_blocks():
    worst = Worst()
    assert worst.example is None
    A = np.arange(40.0).reshape(10, 2, 2)
    off = np.array([1, 2, np.nan, 3, 9, 0, 4, np.inf, 5, np.nan])
    off[7] = 8
    for first in (0, 3, 3, 8):
        part = slice(first, {0: 3, 3: 8, 8: 10}[first])
        worst.add(first, A[part], -A[part], A[part], off[part])
    assert worst.example is not None
    assert worst.example.number == 4
    np.testing.assert_array_equal(worst.example.A, A[4])
    np.testing.assert_array_equal(worst.example.X, -A[4])


def test_nothing_to_show():
    worst = Worst()
    worst.add(0, np.ones((2, 2, 2)), np.ones((2, 2, 2)), None, np.array([np.nan, np.nan]))
    worst.add(2, np.ones((0, 2, 2)), np.ones((0, 2, 2)), None, np.ones(0))
    assert worst.example is None


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 5), (7, 7), (40, 40)])
@pytest.mark.parametrize("kind", ["exact", "near", "nan"])
def test_every_size_and_error_is_drawn(shape, kind, tmp_path):
    A = np.random.default_rng(0).standard_normal(shape)
    truth = np.linalg.pinv(A)
    X = truth + {"exact": 0.0, "near": 1e-9, "nan": np.nan}[kind]
    figure = Figure()
    draw_example(figure, Example(3, A, X, truth))
    figure.savefig(tmp_path / "p.png")
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[0].startswith("matrix 3")
    assert "0" in titles[2]


def test_without_a_truth_the_residual_is_shown():
    figure = Figure()
    draw_example(figure, Example(0, 2 * np.eye(2), np.eye(2) / 2, None))
    assert any("|I - A X|: 0 everywhere" in axes.get_title() for axes in figure.axes)


def test_hundreds_are_written_without_an_exponent():
    entries = np.array([[-310.0, 0.01234], [1234.5, 3.1e8]])
    figure = Figure()
    draw_example(figure, Example(1, np.eye(2), entries, None))
    cells = [text.get_text() for text in figure.axes[1].texts]
    assert cells == ["-310", "0.012", "1234", "3.1e+08"]
