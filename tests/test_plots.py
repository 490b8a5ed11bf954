"""Figures of every kind of data become valid files, whole or not at all, without a warning."""

from __future__ import annotations

import re
import struct
import warnings
import xml.etree.ElementTree
import zlib

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from deepmatrixinversion.errors import ModelError
from deepmatrixinversion.reporting.figure_files import check_plot_target, save_figure
from deepmatrixinversion.reporting.metrics import ErrorAccumulator
from deepmatrixinversion.reporting.plots import (
    predicted_against_true,
    residual_histogram,
    training_curves,
)

pytestmark = pytest.mark.filterwarnings("error")


def errors_of(target, prediction):
    errors = ErrorAccumulator()
    with warnings.catch_warnings():
        errors.add(prediction, target)
    return errors.statistics()


def comparison(target, prediction):
    target, prediction = np.asarray(target, float), np.asarray(prediction, float)
    errors = errors_of(target, prediction)
    return predicted_against_true(target, prediction, errors, title="title", matrices=len(target))


def png_size(data):
    """(width, height) of a PNG whose every chunk has the checksum that it claims."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, kinds, pixels, size = 8, [], b"", (0, 0)
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert checksum == zlib.crc32(kind + body)
        kinds.append(kind)
        if kind == b"IHDR":
            size = struct.unpack(">II", body[:8])
        if kind == b"IDAT":
            pixels += body
        at += 12 + length
    assert (kinds[0], kinds[-1]) == (b"IHDR", b"IEND")
    assert len(set(zlib.decompress(pixels))) > 10  # not one colour
    return size


# What reporting/plots.py does not draw yet without a warning, or at all.
def cases(table):
    """The values of a table as parameters."""
    return [pytest.param(value, id=name) for name, value in table.items()]


def drawn(figure, path):
    save_figure(figure, path)
    width, height = png_size(path.read_bytes())
    assert width >= 600
    assert height >= 400


RNG = np.random.default_rng(0)
SPAN = np.concatenate([RNG.standard_normal(500), [1e6, -1e8, 1e12, 3e-9]])
PAIRS = {
    "typical": (RNG.standard_normal(900), RNG.standard_normal(900)),
    "perfect": (SPAN, SPAN),
    "one entry": ([0.5], [0.6]),
    "one entry, exact": ([0.5], [0.5]),
    "zeros": (np.zeros(9), np.zeros(9)),
    "targets equal": (np.ones(9), np.arange(9.0)),
    "predictions equal": (np.arange(9.0), np.ones(9)),
    "all equal and negative": (np.full(9, -3.0), np.full(9, -3.0)),
    "not a number": (np.arange(9.0), np.full(9, np.nan)),
    "all infinite": (np.arange(9.0), np.full(9, np.inf)),
    "some infinite": (np.arange(9.0), np.where(np.arange(9) % 2, np.arange(9.0), -np.inf)),
    "wide span": (SPAN, SPAN * (1 + 1e-3 * RNG.standard_normal(len(SPAN)))),
    "only positive, wide": (np.abs(SPAN), np.abs(SPAN)),
    "huge": (1e300 * np.arange(1, 9.0), 1e300 * np.arange(1, 9.0)[::-1]),
    "one huge": (np.append(np.arange(9.0), 1e300), np.append(np.arange(9.0), 1e299)),
    "largest": ([1.7e308, -1.7e308, 1.0], [1.7e308, -1.7e308, 1.0]),
    "tiny": (1e-300 * np.arange(9.0), 1e-300 * np.arange(9.0)[::-1]),
    "subnormal": ([5e-324, 0.0, 1e-320], [0.0, 5e-324, 1e-320]),
    "mostly zero": (np.append(np.zeros(99), 1e-9), np.append(np.zeros(99), 2e-9)),
    "singular figure": (RNG.standard_normal(900), 1e7 * RNG.standard_normal(900)),
}


@pytest.mark.parametrize("pair", cases(PAIRS))
def test_predicted_against_true(pair, tmp_path):
    drawn(comparison(*pair), tmp_path / "p.png")


RESIDUALS = {
    "typical": RNG.lognormal(-20, 3, 1000),
    "one": [1e-9],
    "exactly one": [1.0],
    "all zero": np.zeros(9),
    "all equal": np.full(9, 1e-14),
    "all infinite": np.full(9, np.inf),
    "mixed": [0, 1e-300, 1e-16, 1, 1e300, np.inf],
    "subnormal residuals": [5e-324, 1e-310],
    "largest": [1.7e308, 1.0],
}


@pytest.mark.parametrize("values", cases(RESIDUALS))
def test_residual_histogram(values, tmp_path):
    drawn(residual_histogram(np.asarray(values, float), title="title"), tmp_path / "p.png")


def row(member, matrices, median, below):
    return {"member": member, "matrices": matrices, "residual_median": median, "below_one": below}


CURVES = {
    "one point": [row(1, 1000, 0.1, 0.9)],
    "never a failure": [row(1, k, 0.1 / k, 1.0) for k in range(1, 9)],
    "two members": [row(m, k, 0.1 / k, 1 - 0.1 / k) for m in (1, 2) for k in range(1, 9)],
    "a residual of zero": [row(1, k, 0.0, 1.0) for k in range(1, 9)],
    "twenty members": [row(m, k, 0.1 / k, 0.9) for m in range(1, 21) for k in range(1, 5)],
}


@pytest.mark.parametrize("rows", cases(CURVES))
def test_training_curves(rows, tmp_path):
    drawn(training_curves(rows, title="title"), tmp_path / "p.png")


def test_batches_without_failures_have_a_place_on_the_logarithmic_axis():
    figure = training_curves([row(1, k, 0.1, 1 - (k == 3) / 10) for k in range(1, 9)], title="t")
    right = figure.axes[1]
    heights = [np.asarray(line.get_ydata()) for line in right.lines]
    assert [len(drawn) for drawn in heights] == [1, 7]
    assert "a batch without failures" in texts(figure)
    assert "held out" not in texts(figure)
    assert all(drawn.min() >= right.get_ylim()[0] > 0 for drawn in heights)


def test_what_was_held_out_is_within_the_axes():
    rows = [row(1, k, 0.1, 0.9) | {"validation_median": 1e-9} for k in range(1, 4)]
    left = training_curves(rows, title="t").axes[0]
    assert left.get_ylim()[0] < 1e-9


# --- what is on them -----------------------------------------------------------------------------


def texts(figure):
    import matplotlib.text

    return "\n".join(t.get_text() for t in figure.findobj(matplotlib.text.Text))


def test_the_figure_says_what_it_shows():
    target = np.arange(10.0)
    figure = comparison(target, 2 * target + 1)
    words = texts(figure)
    for word in ("title", "matrices  10", "R²", "MSE", "MAE", "max error 1.00e+01", "identity"):
        assert word in words
    assert re.search(r"regression.* 2 x \+ ?1", words)
    assert "units of 1/entry of A" in words
    left = figure.axes[0]
    assert left.get_xlim() == left.get_ylim()


def test_zeros_and_infinities_are_counted_in_words():
    words = texts(residual_histogram(np.array([0, 0, 1e-3, np.inf]), title="t"))
    assert "exactly 0: 2 matrices" in words
    assert "not finite: 1 matrices" in words


def test_no_positive_value_falls_outside_the_histogram():
    values = 10.0 ** RNG.uniform(-30, 3, 1000)
    axes = residual_histogram(values, title="t").axes[0]
    assert sum(patch.get_height() for patch in axes.patches if isinstance(patch, Rectangle)) == 1000


# --- files ---------------------------------------------------------------------------------------


@pytest.fixture
def figure():
    return residual_histogram(np.array([1e-3, 1e-5]), title="t")


def test_every_suffix(figure, tmp_path):
    save_figure(figure, tmp_path / "p.PNG")
    png_size((tmp_path / "p.PNG").read_bytes())
    save_figure(figure, tmp_path / "p.svg")
    assert xml.etree.ElementTree.parse(tmp_path / "p.svg").getroot().tag.endswith("svg")
    save_figure(figure, tmp_path / "p.pdf")
    data = (tmp_path / "p.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert data.rstrip().endswith(b"%%EOF")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.PNG", "p.pdf", "p.svg"]


def test_a_figure_that_cannot_be_drawn_leaves_the_old_file(figure, tmp_path, monkeypatch):
    path = tmp_path / "p.png"
    path.write_bytes(b"old")

    def savefig(file, **options):
        file.write(b"half")
        raise MemoryError

    monkeypatch.setattr(figure, "savefig", savefig)
    with pytest.raises(MemoryError):
        save_figure(figure, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["p", "p.jpg", "p.png.txt", ".png"])
def test_unknown_suffixes(figure, tmp_path, name):
    for call in (check_plot_target, lambda where: save_figure(figure, where)):
        with pytest.raises(ModelError, match=r"\.png, \.pdf, \.svg, or be 'screen'"):
            call(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(figure, tmp_path):
    with pytest.raises(ModelError, match="nowhere"):
        check_plot_target(tmp_path / "nowhere" / "p.png")
    with pytest.raises(ModelError, match="nowhere"):
        save_figure(figure, tmp_path / "nowhere" / "p.png")
    check_plot_target(None)


def test_no_screen(figure, monkeypatch):
    import matplotlib

    monkeypatch.setattr(matplotlib, "get_backend", lambda: "agg")
    with pytest.raises(ModelError, match="screen"):
        save_figure(figure, "screen")
    with pytest.raises(ModelError, match="screen"):
        check_plot_target("screen")
