"""dmxdatasetverify, as a user calls it."""

from __future__ import annotations

import numpy as np
import pytest

from data_sets import generate, names, status, verify
from deepmatrixinversion.matrices import read_matrices, write_matrices
from inverting import one_sentence


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pairs(here):
    rng = np.random.default_rng(5)
    a = rng.uniform(-1, 1, (30, 3, 3)) + 2 * np.eye(3)
    write_matrices("x.npy", a)
    return a, np.linalg.inv(a)


def test_verify_reports_the_worst(pairs, capsys):
    a, x = pairs
    x[4] *= 1.01
    x[17] *= 1.5
    write_matrices("y.mx", x)
    assert verify("x.npy", "y.mx", "invertible") == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert out.isascii()  # any terminal can show it
    assert "Dataset valid." not in out
    assert "Warning: 2 of 30 pairs are not valid. The worst is matrix 17" in out
    assert f"{0.5 * np.sqrt(3):.6g}" in out  # ‖I - 1.5 I‖F
    for entry in np.concatenate([a[17].ravel(), x[17].ravel()]):
        assert f"{entry:.6f}" in out
    assert verify("x.npy", "y.mx", "invertible", "--tol", 1) == 0
    assert "Dataset valid." in capsys.readouterr().out


def test_verify_rounded_files(pairs, capsys):
    """Files rounded to four decimals, as the reference's, fail by default and pass by --tol."""
    a, x = pairs
    write_matrices("x4.mx", a.round(4))
    write_matrices("y4.mx", x.round(4))
    assert verify("x4.mx", "y4.mx", "invertible") == 1
    assert "30 of 30" in capsys.readouterr().out
    # ‖dX‖F ‖Y‖F + ‖X‖F ‖dY‖F, both errors at most half a unit of 1e-4 in 9 entries.
    norms = np.linalg.norm(a, axis=(1, 2)) + np.linalg.norm(x, axis=(1, 2))
    assert verify("x4.mx", "y4.mx", "invertible", f"--tol={1.01 * 1.5e-4 * norms.max()}") == 0


@pytest.mark.parametrize("kind", ["invertible", "singular"])
@pytest.mark.parametrize("name", ["x.npy", "y.npy"])
def test_nan_is_never_valid(here, capsys, kind, name):
    assert generate(3, 8, -1, 1, "p", "--format", "npy") == 0
    files = names("p", 3, "npy")
    first, second = files[:2] if kind == "invertible" else files[2:]
    x, y = read_matrices(first), read_matrices(second)
    (x if name == "x.npy" else y)[3, 0, 0] = np.nan
    np.save("x.npy", x)
    np.save("y.npy", y)
    capsys.readouterr()
    for tol in ((), ("--tol", "1e9")):
        assert verify("x.npy", "y.npy", kind, *tol) == 1
        out = capsys.readouterr().out
        assert "1 of 8 pairs are not valid. The worst is matrix 3" in out
        assert "not a number" in out


def test_verify_knows_singular_from_invertible(here, capsys):
    assert generate(3, 8, -1, 1, "p") == 0
    a, x, s, y = names("p", 3)
    capsys.readouterr()
    assert verify(a, x, "singular") == 1
    assert "full rank" in capsys.readouterr().out
    assert verify(s, y, "invertible") == 1
    assert verify(a, s, "invertible") == 1
    assert verify(x, a, "invertible") == 0
    assert verify(y, s, "singular") == 0


def test_verify_refuses_what_it_cannot_compare(here, capsys):
    for n, count in ((2, 5), (2, 7), (3, 5)):
        write_matrices(f"{n}_{count}.mx", np.tile(np.eye(n), (count, 1, 1)))
    write_matrices("wide.mx", np.ones((5, 2, 3)))
    for words, message in (
        (("2_5.mx", "2_7.mx", "invertible"), "2_5.mx ends after 5 matrices, but 2_7.mx goes on"),
        (("2_7.mx", "2_5.mx", "invertible"), "2_5.mx ends after 5 matrices, but 2_7.mx goes on"),
        (("2_5.mx", "3_5.mx", "invertible"), "order 2 and 3_5.mx of order 3"),
        (("wide.mx", "wide.mx", "singular"), "square"),
        (("2_5.mx", "absent.mx", "invertible"), "absent.mx: No such file"),
        (("2_5.mx", "2_5.mx", "regular"), "invalid choice: 'regular'"),
        (("2_5.mx", "2_5.mx", "invertible", "--tol", "0"), "0 is not above 0"),
        (("2_5.mx", "2_5.mx", "invertible", "--tol", "nan"), "not a finite number"),
        (("2_5.mx", "2_5.mx"), "required: "),
    ):
        assert status(verify, *words) == 2
        assert message in one_sentence(capsys)


def test_entries_that_are_correctly_rounded_are_counted(here, capsys):
    A = np.array([[[3.0, 0.0], [0.0, 7.0]], [[1.0, 1.0], [0.0, 1.0]]])
    X = np.array([[[1 / 3, 0.0], [0.0, 1 / 7]], [[1.0, -1.0], [0.0, 1.0]]])
    write_matrices("a.npy", A)
    write_matrices("x.npy", X)
    assert verify("a.npy", "x.npy", "invertible", "--exact") == 0
    assert "8 of 8 entries " in capsys.readouterr().out
    X[0, 1, 1] = np.nextafter(X[0, 1, 1], 1)
    write_matrices("x.npy", X)
    assert verify("a.npy", "x.npy", "invertible", "--exact") == 0
    assert "7 of 8 entries " in capsys.readouterr().out
    assert verify("a.npy", "x.npy", "singular", "--exact") == 2
    assert "--exact" in one_sentence(capsys)
