"""The benchmarks that need no other runtime: end to end in small, and their arithmetic by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import flint
import numpy as np
import pytest
from matplotlib.figure import Figure

import cost
import curves
import singular
from accuracy import Report
from deepmatrixinversion import certify, kernel
from test_examples import check_png

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
U = 2.0**-53

SMALL = {
    "reach": ["--largest", "8", "--scale", "0.05"],
    "singular": ["--each", "1"],
    "cost": ["--largest", "4", "--rounds", "1"],
    "export_accuracy": ["--largest", "4", "--count", "3"],
}


def rows_of(text):
    """The lines of a table."""
    return [line for line in text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("name", SMALL)
def test_end_to_end(name, tmp_path):
    page, plot = tmp_path / "page.md", tmp_path / "plot.png"
    words = [*SMALL[name], "--markdown", str(page), "--plot", str(plot)]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["page.md", "plot.png"]
    check_png(plot)
    text = page.read_text()
    assert text.startswith("# ")
    assert text.endswith("\n")
    figure = {"export_accuracy": "onnx-accuracy"}.get(name, name)
    assert f"![]({figure}.png)" in text
    assert "nan" not in text
    first, *others = [rows_of(part) for part in text.split("\n## ")]
    for some in (first, *others):
        assert len({row.count("|") for row in some}) == 1  # a table
    rows = first
    assert len(rows) > 3
    assert rows[-1] in done.stdout
    if name == "reach":
        certified, bounds, _ = [line for line in text.splitlines() if line.startswith("- ")]
        assert "missed" not in certified
        held, of = bounds.removesuffix(".").split(": ")[1].split(" of ")
        assert held == of
    if name == "singular":
        for row in rows[2:]:
            number, right, _, proven = row.split("|")[2:6]
            assert int(number) == int(right)
            assert int(proven) == 0
    if name == "export_accuracy":
        # Of each spectrum some reach, and what auto takes is marked.
        assert all(
            cell.strip().startswith("1e") for row in rows[2:] for cell in row.split("|")[4:8]
        )
        assert sum("elimination (auto)" in row for row in rows) == 2  # order 4, twice
    if name == "cost":
        single = 2  # the third table has one matrix a call, of orders 3, 8, 16, 32
        for at, some in enumerate((first, *others)):
            orders = [row.split("|")[1].strip() for row in some[2:]]
            assert orders == (["3"] if at == single else ["2", "3", "4"])
        assert len(others) == (4 if kernel.available() else 0)
        assert "Peak memory" not in text  # measured at 512 and above


def test_exact_pseudo_inverses():
    B, C = np.array([[1.0], [2.0]]), np.array([[3.0, 0.0, 4.0]])
    # (b c)⁺ = cᵀ bᵀ / (|b|² |c|²)
    np.testing.assert_array_equal(singular.exact_pinv(B, C), (B @ C).T / 125)


@pytest.mark.parametrize("p, q", [(3, 3), (4, 7), (6, 2), (12, 12)])
def test_matrices_of_known_rank(p, q):
    A, target, rank = singular.matrices(p, q, np.random.default_rng(1), 2)
    assert set(rank) <= set(range(min(p, q) + 1))
    assert {0, min(p, q)} <= set(rank)
    for M, X, r in zip(A, target, rank, strict=True):
        assert flint.fmpz_mat(M.astype(int).tolist()).rank() == r
        sigma = np.linalg.svd(M, compute_uv=False)
        kappa = sigma[0] / sigma[r - 1] if r else 1.0
        # X is correctly rounded: A X A - A has an error of u kappa, and products theirs.
        assert np.linalg.norm(M @ X @ M - M) <= 8 * max(p, q) * U * kappa * max(sigma[0], 1)


def test_a_row_counts_what_is_wrong(monkeypatch):
    A, target, rank = (np.array(x) for x in singular.matrices(3, 3, np.random.default_rng(2), 3))
    row = singular.measure("m", A, target, rank)
    assert (row.matrices, row.ranks_right, row.certified) == (len(A), len(A), 0)
    assert row.r2 > 1 - 1e-12
    wrong = singular.measure("m", A, 2 * target, rank - 1)
    assert wrong.ranks_right == 0
    assert wrong.worst_error == pytest.approx(0.5, rel=1e-6)
    assert wrong.r2 < 0.9

    def credulous(A):
        return type("Result", (), {"certificate": certify(np.zeros_like(A) + np.eye(3), A * 0 + np.eye(3))})  # fmt: skip # noqa: E501

    monkeypatch.setattr(singular, "inv_ex", credulous)
    assert singular.measure("m", A, target, rank).certified == (rank < 3).sum()


def test_relative_errors():
    target = np.stack([np.eye(2), np.zeros((2, 2))])
    X = np.stack([1.5 * np.eye(2), np.full((2, 2), 0.25)])
    np.testing.assert_array_equal(singular.relative(X, target), [0.5, 0.5])


def test_ratios_are_medians_over_the_rounds(monkeypatch):
    rounds = [{"numpy": 1, "ours": 3, "lapack certified": 2}] * 4
    rounds.append({"numpy": 10, "ours": 1, "lapack certified": 1})  # a slow moment
    elapsed = {"now": 0.0, "calls": 0}

    def method(name):
        def call(A):
            k = elapsed["calls"] // 3 - 1  # the first round warms up
            elapsed["calls"] += 1
            elapsed["now"] += rounds[max(k, 0)][name]

        return call

    monkeypatch.setattr(cost, "contenders", lambda: {n: method(n) for n in rounds[0]})
    monkeypatch.setattr(cost.time, "perf_counter", lambda: elapsed["now"])
    row = cost.measure(3, 10, 5, 0)
    assert (row.order, row.stack) == (3, 10)
    assert (row.ours, row.lapack_certified, row.torch) == (3, 2, None)
    assert row.numpy_us == 1e5


def test_memory_is_a_few_matrices():
    """The aim at n >= 512: 8 n² doubles, the inverse itself among them."""
    assert 1 <= cost.memory(512) <= 8


def test_the_plot_of_cost(tmp_path):
    rows = [cost.Row(n, 10, 1.0, 2.0, None if n > 4 else 1.0, 1.5) for n in (3, 4, 512)]
    for some in (rows, rows[:2], rows[:1]):
        cost.draw(some, str(tmp_path / "p.png"))
        check_png(tmp_path / "p.png")


def test_a_part_of_the_accuracy_report_leaves_the_others_alone(tmp_path):
    page = tmp_path / "accuracy.md"
    template = "# Page\n\n## One\n\n{one}\n\n## Two\n\n{two}\n\n![](two.png)\n"
    first = Report(tmp_path, 1, keep=False)
    first.write(one=["text", "", "| a table |"], two="2\n")
    first.save(template)
    before = page.read_text()
    assert before == template.format(one="text\n\n| a table |", two="2")
    second = Report(tmp_path, 1, keep=True)
    second.save(template)
    assert page.read_text() == before
    second.write(one="new")
    second.save(template)
    assert page.read_text() == before.replace("text\n\n| a table |", "new")


@pytest.mark.slow
def test_the_accuracy_report(tmp_path):
    words = ["--quick", "--only", "one_order", "--out", str(tmp_path)]
    (tmp_path / "accuracy.md").write_text("# Accuracy\n")
    subprocess.run([sys.executable, str(BENCHMARKS / "accuracy.py"), *words], check=True)
    text = (tmp_path / "accuracy.md").read_text()
    assert "## Networks of one order" in text
    assert "nan" not in text
    assert {p.name for p in tmp_path.glob("*.png")} == {
        "accuracy-precision.png",
        "accuracy-raw.png",
        "accuracy-residuals.png",
    }


def test_the_cost_of_exports(tmp_path):
    words = ["--largest", "4", "--rounds", "1", "--markdown", str(tmp_path / "page.md")]
    subprocess.run([sys.executable, str(BENCHMARKS / "export_cost.py"), *words], check=True)
    text = (tmp_path / "page.md").read_text()
    for net in ("adjugate", "elimination", "feedback", "iterative"):
        assert f"| 4 | {net} |" in text
    assert "nan" not in text


def test_shares_missed_have_a_place_for_none():
    axes = Figure().subplots()
    missed = curves.Missed(axes, 1000)
    missed.draw([1, 2, 3], [0.5, 0.999, 1.0], label="a", **curves.styles(["a"])["a"])
    *shown, foot = np.asarray(axes.lines[-1].get_ydata())
    assert axes.get_ylim()[0] < foot < 1e-3  # below the least share that 1000 can miss
    np.testing.assert_allclose(shown, [0.5, 1e-3])
    assert "none of 1,000" in [text.get_text() for text in axes.texts]


def test_no_two_curves_look_alike():
    drawn = curves.styles("abcdef", chosen="b")
    assert set(drawn) == set("abcdef")
    for part in ("color", "linestyle", "marker"):
        assert len({str(drawn[name][part]) for name in "acdef"}) == 5
