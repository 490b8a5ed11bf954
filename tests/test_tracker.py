"""Starts that are given, and sequences that give their own."""

# A tracker that has seen matrices has a start.
# pyright: reportOptionalMemberAccess=false, reportPossiblyUnboundVariable=false

from __future__ import annotations

import numpy as np
import pytest

from deepmatrixinversion import Tracker, inv, inv_ex, solve_ex
from deepmatrixinversion.linalg.greedy import improved, norm
from deepmatrixinversion.linalg.scaling import normalise

N = 16


def matrices(*shape, n=N, seed=0):
    return np.random.default_rng([seed, n]).standard_normal((*shape, n, n)) / n**0.5


def sequence(steps, n=N, seed=0, pace=0.05):
    """A stack of two, turning smoothly."""
    A, B, C = matrices(3, 2, n=n, seed=seed)
    t = pace * np.arange(steps)[:, None, None, None]
    return A + 2 * np.eye(n) + np.sin(t) * B + np.cos(1.3 * t) * C


# --- a start that is given ------------------------------------------------------------------------

ILL = {"none": 0.0, "huge": 1e300, "infinite": np.inf, "NaN": np.nan, "wrong sign": -1.0}


@pytest.mark.parametrize("factor", ILL.values(), ids=ILL)
def test_a_start_of_any_quality_ends_in_certified_inverses(factor):
    A = matrices(4)
    with np.errstate(all="ignore"):
        start = factor * inv(A)
    found = inv_ex(A, start=start)
    assert found.certificate.certified.all()
    assert found.certificate.relative_error_bound.max() <= 2.0**-52


@pytest.mark.parametrize("shape", [(N, N), (1, N, N), (3, 1, N, N), (3, 2, N, N)])
def test_one_start_for_all_or_one_each(shape):
    A = matrices(N)[:6].reshape(3, 2, N, N)
    start = np.broadcast_to(np.eye(N), shape)
    assert inv_ex(A, start=start).certificate.certified.shape == (3, 2)
    assert inv_ex(A, start=start).certificate.certified.all()


@pytest.mark.parametrize("shape", [(N, N - 1), (N - 1, N - 1), (5, N, N), (1, 1, 1, N, N)])
def test_a_start_that_does_not_fit(shape):
    with pytest.raises(ValueError, match="start"):
        inv_ex(matrices(3), start=np.zeros(shape))


def test_scale_of_matrix_and_start_go_together():
    A = matrices(3)
    A[:, 3] *= 2.0**40  # rows are evened out
    for power in (0, 200, -200):
        B = np.ldexp(A, power)
        found = inv_ex(B, start=inv(B) * (1 + 1e-3))
        assert found.certificate.certified.all()
        # The last rounding of refined results: one step of refinement is all they took.
        assert (found.steps <= 2).all()


def test_complex_matrices_take_real_and_complex_starts():
    A = matrices(2) + 1j * matrices(2, seed=1)
    for start in (inv(A), np.eye(N)):
        assert inv_ex(A, start=start).certificate.certified.all()
    with pytest.raises(ValueError, match="complex"):
        inv_ex(A.real, start=inv(A))


def test_solutions_take_a_start():
    A, B = matrices(4), matrices(4, seed=2)[..., :3]
    plain, started = solve_ex(A, B), solve_ex(A, B, start=inv(A) * 1.01)
    assert started.certified.all()
    bound = plain.error_bound + started.error_bound
    assert (np.abs(plain.solution - started.solution).max(axis=1) <= bound).all()
    assert solve_ex(A, B + 0j, start=inv(A)).certified.all()


def test_a_neighbour_with_a_bad_start_does_not_matter():
    A = matrices(3)
    start = inv(A)
    alone = inv_ex(A[:1], start=start[:1]).inverse
    start[1], start[2] = np.nan, 1e9
    np.testing.assert_array_equal(inv_ex(A, start=start).inverse[:1], alone)


# --- sequences -----------------------------------------------------------------------------------


def products(tracker, A):
    """What the tracker's start leaves to be done to 1e-3; None without a start."""
    S, _ = normalise(A)
    start = tracker.propose(S)
    return None if start is None else improved(S, start.X).products.mean()


def test_sequences_are_certified_and_cheaper_than_from_nothing():
    tracker, spent = Tracker(), []
    for A in sequence(12):
        spent.append(products(tracker, A))
        found = tracker(A)
        assert found.certificate.certified.all()
        bound = found.certificate.error_bound[:, None, None]
        assert (np.abs(found.inverse - inv(A)) <= 2 * bound).all()
    assert spent[0] is None
    S = normalise(sequence(12)[-1])[0]
    from_nothing = improved(S, S.swapaxes(1, 2), degrees=(3, 3, 3, 12)).products.mean()
    assert np.mean(spent[6:]) <= from_nothing / 3


def test_what_is_kept_beats_the_last_inverse_where_changes_are_smooth():
    one, four = Tracker(kept=1), Tracker(kept=4)
    for A in sequence(8, pace=0.2):
        S, _ = normalise(A)
        starts = [tracker.propose(S) for tracker in (one, four)]
        for tracker in (one, four):
            tracker(A)
    errors = [norm(np.eye(N) - S @ start.X).max() for start in starts]
    assert starts[1].combined.all()
    assert errors[1] < 0.3 * errors[0]


def test_a_break_is_noticed_and_forgotten():
    tracker = Tracker()
    for A in sequence(5):
        tracker(A)
    S, _ = normalise(-sequence(1)[0].swapaxes(1, 2) + 5 * matrices(2, seed=9))
    assert tracker.propose(S) is None
    tracker = Tracker()
    for A in sequence(5):
        tracker(A)
    broken = sequence(6)[5]
    broken[1] = 5 * matrices(seed=9)
    start = tracker.propose(normalise(broken)[0])
    assert np.isfinite(start.X[0]).all()
    assert np.isnan(start.X[1]).all()
    assert tracker(broken).certificate.certified.all()
    near = broken * 1.01
    left = norm(np.eye(N) - normalise(near)[0] @ tracker.propose(normalise(near)[0]).X)
    assert left.max() <= 0.1


def test_the_same_sequence_gives_the_same_bits():
    runs = []
    for _ in range(2):
        tracker = Tracker()
        runs.append(np.stack([tracker(A).inverse for A in sequence(5)]))
    np.testing.assert_array_equal(*runs)
    alone = Tracker()
    first = np.stack([alone(A[:1]).inverse for A in sequence(5)])
    np.testing.assert_array_equal(first, runs[0][:, :1])


def test_singular_and_broken_matrices_do_not_end_a_sequence():
    tracker = Tracker()
    for k, A in enumerate(sequence(8)):
        if k in (0, 3):
            A[0] = np.ones((N, N))
        if k == 5:
            A[0, 0, 0] = np.nan
        found = tracker(A)
        assert found.certificate.certified.tolist() == [k not in (0, 3, 5), True]


def test_another_shape_begins_anew():
    tracker = Tracker()
    tracker(matrices(2))
    assert tracker(matrices(3)).certificate.certified.shape == (3,)
    assert tracker(matrices()).certificate.certified.shape == ()
    assert tracker(np.eye(3, dtype=np.float32)).inverse.dtype == np.float32
    with pytest.raises(ValueError, match="complex"):
        tracker(1j * np.eye(2))
    with pytest.raises(ValueError, match="kept"):
        Tracker(kept=0)
