"""A sample of the trust benchmark: no certified inverse is worse than LAPACK's, nothing is lost."""

import numpy as np
import pytest

import trust


def test_certified_inverses_are_accurate_and_the_others_few():
    results = {}
    for name, dtype, _, result in trust.stacks(0.006, seed=1, largest=16):
        results.setdefault((name, dtype), []).append(result)
    assert len(results) >= 2 * 50
    tallies = {key: trust.tally(group, key[1]) for key, group in results.items()}
    assert not {key for key, t in tallies.items() if t.worse or t.violated}
    assert {t.share[0] for t in tallies.values()} <= {1.0}
    hard = np.array([t.share[1] for t in tallies.values()])
    assert (hard > 0.99).all()
    assert max(t.tight for t in tallies.values()) <= 1.1


def test_the_yardstick_sees_what_is_wrong():
    A = np.array([[1, 0.5], [0.5, 0.25000002]])
    inverse, norm = trust.truth(A)
    X = np.linalg.inv(A)
    assert norm == pytest.approx(7.5e7, rel=1e-6)
    assert trust.distance(inverse, X) / norm < 1e-8
    assert trust.distance(inverse, X * 1.001) / norm == pytest.approx(1e-3, rel=1e-4)
    one = np.ones(1)
    good = trust.Result(one, one > 0, 1e-16 * one, 1e-16 * one, 2e-16 * one)
    worse = good._replace(error=1e-14 * one, bound=2e-14 * one)
    false = good._replace(bound=5e-17 * one)
    double = np.dtype(np.float64)
    assert trust.tally([good], double)[1:3] == (0, 0)
    assert trust.tally([worse], double)[1:3] == (1, 0)
    assert trust.tally([false], double)[1:3] == (0, 1)
