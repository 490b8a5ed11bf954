"""Inverses after changes of low rank, and the starts that sequences give."""

# numpy.linalg's results are of no certain dtype to the type checker.
# pyright: reportArgumentType=false

from __future__ import annotations

import numpy as np
import pytest

from deepmatrixinversion.linalg import low_rank
from deepmatrixinversion.linalg.greedy import norm
from deepmatrixinversion.prior.sequence import COMBINED, MOST_RANK, Sequence

EPS = float(np.finfo(float).eps)
N = 20


def well_conditioned(k, n=N, seed=0):
    A = np.random.default_rng([seed, n]).standard_normal((k, n, n)) / n
    A += np.eye(n)
    return A / (2 * norm(A)[:, None, None])


def changes(k, rank, n=N, seed=1):
    U, W = np.random.default_rng([seed, n]).standard_normal((2, k, n, rank))
    return 0.05 * U @ W.swapaxes(1, 2) / n


@pytest.mark.parametrize("rank", [0, 1, 2, 4])
def test_a_change_of_low_rank_is_corrected_to_rounding(rank):
    P = well_conditioned(6)
    S = P + changes(6, rank)
    X, found = low_rank.moved(S, P, np.linalg.inv(P), most=4)
    assert found.tolist() == [rank] * 6
    kappa = norm(P) * norm(np.linalg.inv(P)) * norm(S) * norm(np.linalg.inv(S))
    assert (norm(np.eye(N) - S @ X) <= 64 * N * EPS * kappa).all()


def test_a_change_of_higher_rank_is_found_out_at_the_price_of_looking():
    P = well_conditioned(3)
    S = P + changes(3, 5)
    X, found = low_rank.moved(S, P, np.linalg.inv(P), most=4)
    assert found.tolist() == [5] * 3
    assert np.isnan(X).all()
    np.testing.assert_allclose(low_rank.cost(found, N, 4), 5 / N)
    assert low_rank.cost(np.array([2]), N, 4) == pytest.approx((3 + 8) / N + 5 * 4 / N**2)


def test_a_change_that_ends_in_a_singular_matrix_is_no_error():
    P = np.eye(N)[None] / N
    S = P.copy()
    S[0, 0, 0] = 0.0
    X, found = low_rank.moved(S, P, N * np.eye(N)[None], most=4)
    assert found.tolist() == [1]
    assert not np.isfinite(X).all() or norm(np.eye(N) - S @ X)[0] >= 1 - 1e-9


def test_the_bits_do_not_depend_on_neighbours():
    P = well_conditioned(4)
    S = P + np.concatenate([changes(2, 2), changes(2, 7)])
    X, _ = low_rank.moved(S, P, np.linalg.inv(P), most=4)
    for k in range(4):
        alone, _ = low_rank.moved(S[k : k + 1], P[k : k + 1], np.linalg.inv(P[k : k + 1]), most=4)
        np.testing.assert_array_equal(alone[0], X[k])


def followed(matrices, kept=COMBINED[-1]):
    """Starts of all but the first of a list of stacks, compared at step 1, 2, 4 and 8."""
    inverses = [np.linalg.inv(S) for S in matrices]
    sound = np.ones(len(matrices[0]), dtype=bool)
    past = Sequence.beginning(matrices[0], inverses[0], sound, kept)
    starts = []
    for step, (S, X) in enumerate(zip(matrices[1:], inverses[1:], strict=True), 1):
        starts.append(past.start(S, step in (1, 2, 4, 8)))
        past.go_on(S, X, sound, starts[-1].broken())
    return starts


def test_each_kind_of_start_is_taken_where_it_is_cheapest():
    A, B, C = (well_conditioned(2, seed=s) for s in range(3))
    rows = np.random.default_rng(5).standard_normal((40, N)) / (2 * N)
    smooth = [A + np.sin(0.05 * t) * B / 4 + np.cos(0.03 * t) * C / 4 for t in range(12)]
    sliding = [A + np.einsum("ti,tj->ij", rows[t : t + 9], rows[t : t + 9]) for t in range(12)]
    noisy = [A + 1e-5 * well_conditioned(2, seed=t) for t in range(12)]
    assert (followed(smooth)[-1].combined > 1).all()
    assert (followed(sliding)[-1].combined == 0).all()
    assert (followed(noisy)[-1].combined == 1).all()
    last = followed(sliding)[-1]
    np.testing.assert_allclose(last.cost, low_rank.cost(np.array([2, 2]), N, MOST_RANK) + 4 / N)
    assert (last.residual <= 1e-10).all()


def test_comparing_costs_what_all_kinds_do_and_more_than_taking_one():
    A, B = (well_conditioned(2, seed=s) for s in range(2))
    starts = followed([A + np.sin(0.05 * t) * B / 4 for t in range(12)])
    assert starts[7].cost.min() > 2 * starts[8].cost.max()
    # W S, V S, and both for eight inverses; what they are combined to; and the search for a rank.
    assert (starts[7].cost >= (3 + 3 * 8 + 8) / N).all()
    assert (starts[7].cost <= (3 + 3 * 8 + 8 + 4 + MOST_RANK + 1) / N + 121 / N**2).all()


def test_matrices_that_change_their_power_of_two_are_followed():
    A = well_conditioned(1)
    steps = [A * (1 + 0.2 * t) for t in range(8)]
    scaled = [S / 2.0 ** np.floor(np.log2(2 * norm(S)[0])) for S in steps]
    assert {0.5 < norm(S)[0] < 1 for S in scaled} == {True}
    for start in followed(scaled, kept=1):
        assert start.residual[0] <= 0.5 * N**0.5
