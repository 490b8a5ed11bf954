"""The matrices of a training: a function of seed, member, step and process."""

from __future__ import annotations

import torch

from deepmatrixinversion.training import loop
from deepmatrixinversion.training.run import make_fabric
from deepmatrixinversion.training.streams import EVALUATION, SELECTION, TRAINING, stream_seed
from small_trainings import draw, tiny


def test_matrices_are_a_function_of_seed_member_step_and_process():
    recipe = tiny(seed=3)
    A = draw(recipe, TRAINING, 64, 1, 10, 0)
    torch.rand(5)  # the global generator has no say
    torch.manual_seed(99)
    assert torch.equal(draw(recipe, TRAINING, 64, 1, 10, 0), A)
    others = [
        draw(recipe, TRAINING, 64, 2, 10, 0),
        draw(recipe, TRAINING, 64, 1, 11, 0),
        draw(recipe, TRAINING, 64, 1, 10, 1),
        draw(recipe, TRAINING, 64, 10, 1, 0),
        draw(tiny(seed=4), TRAINING, 64, 1, 10, 0),
        draw(recipe, SELECTION, 64, 1, 10, 0),
        draw(recipe, SELECTION, 64, 1),
        draw(recipe, EVALUATION, 64, 1, 10, 0),
    ]
    stacks = [A, *others]
    for i, B in enumerate(stacks):
        assert B.shape == (64, 2, 2)
        assert not any(torch.isin(B, C).any() for C in stacks[:i])


def test_drawing_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    recipe = tiny(distribution="uniform+nearly_singular+low_rank", det_min=0.0)
    draw(recipe, TRAINING, 64, 1, 1, 0)
    loop._prepare(make_fabric(recipe), recipe, 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_streams_do_not_meet():
    seeds = [
        stream_seed(purpose, seed, *position)
        for purpose in range(4)
        for seed in (0, 1, 2, 2**32, 2**64)
        # Members count from 1, steps and processes from 0.
        for position in [(k,) for k in range(1, 6)]
        + [(1, k, r) for k in range(50) for r in range(2)]
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_filter_and_range_are_those_of_the_recipe():
    A = draw(tiny(rmin=2.0, rmax=3.0, det_min=1.0), TRAINING, 500, 1, 1, 0)
    assert len(A) == 500
    assert (A >= 2).all()
    assert (A <= 3).all()
    assert (torch.linalg.det(A).abs() > 1 - 1e-5).all()
