"""The network for every order as it drives: equivariance, products, its guard, its reach."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import schedules
from deepmatrixinversion import Inverter, inv_ex
from deepmatrixinversion.linalg.greedy import EARLY_EXIT
from deepmatrixinversion.matrices.spectra import even_spectrum, with_condition
from deepmatrixinversion.nets.spectral import Spectral
from deepmatrixinversion.spectral.advice import BLOCK_PRODUCTS, SEEN
from deepmatrixinversion.spectral.driver import MOST_BLOCKS, spectral_guess
from spectra_of_tests import with_eigenvalues
from spectral_samples import always, stack, unit, untrained
from truth import residuals

EPS = float(np.finfo(float).eps)


@pytest.fixture(scope="module")
def trained():
    return Inverter.from_pretrained("spectral")


@pytest.fixture(scope="module")
def weights(trained):
    return trained.leaf.weights


def test_features_have_the_promised_width():
    net = untrained()
    widths = [gate.weight.shape[1] for gate in net.gate if isinstance(gate, torch.nn.Linear)]
    assert [width - net.units for width in widths] == list(SEEN)


@pytest.mark.parametrize("opens", [-1.0, 1.0])
def test_the_network_decides_when_the_last_step_begins(weights, opens):
    """At once when it always wants to, else after all blocks; products are counted either way."""
    A = unit(stack(16))
    guess = spectral_guess(always(weights, opens), A, max_products=60)
    assert (residuals(A, guess.X) <= EARLY_EXIT + 1e-6).all()
    exits = set(guess.products)
    blocks = range(MOST_BLOCKS)
    within = {1, *(1 + BLOCK_PRODUCTS * b + j for b in blocks for j in (1, 2, 3, BLOCK_PRODUCTS))}
    last = within | set(range(1 + BLOCK_PRODUCTS * MOST_BLOCKS, 60))
    assert (exits <= last) == (opens < 0)


def test_the_torch_graph_gives_the_numpy_answer(trained, weights):
    """Same polynomials; forward measures each residual, the guess predicts it."""
    net = Spectral(trained.model.config.net).double()
    net.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
    A = stack(10)
    with torch.no_grad():
        by_torch = residuals(A, net(torch.from_numpy(A)).numpy())
    by_numpy = residuals(A, trained.guess(A, max_products=20))
    # The last digits differ by rounding, amplified by the coefficients; not the outcome.
    assert (by_torch < 1e-2).all()
    assert (by_numpy < 1e-2).all()


# --- equivariance --------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [-900, -3, 1, 900])
def test_powers_of_two_change_no_bit(trained, exponent):
    A = stack(7)
    X = trained.guess(A, max_products=12)
    Y = trained.guess(np.ldexp(A, exponent), max_products=12)
    np.testing.assert_array_equal(Y, np.ldexp(X, -exponent))


@pytest.mark.parametrize("products", [4, 7, 10])
def test_transpose_rotation_and_permutation(trained, products):
    """G(QAP) = Pᵀ G(A) Qᵀ and G(Aᵀ) = G(A)ᵀ: the coefficients see invariants alone."""
    n = 8
    A = unit(stack(n, 40))
    Q = with_condition(np.random.default_rng(1), n, 1.0)
    P = np.eye(n)[np.random.default_rng(2).permutation(n)]
    X = trained.guess(A, max_products=products)
    # Rounding in the features passes through float32 weights and the coefficients.
    tolerance = 1e-4 * np.abs(X).max(axis=(1, 2), keepdims=True)
    for B, Y in (
        (A.swapaxes(1, 2), X.swapaxes(1, 2)),
        (Q @ A, X @ Q.T),
        (A @ P, P.T @ X),
    ):
        assert (np.abs(trained.guess(B, max_products=products) - Y) <= tolerance).all()


# --- products and early exit ---------------------------------------------------------------------


@pytest.mark.parametrize("budget", [0, 1, 2, 5, 13, 20, 45])
def test_products_are_counted_as_they_are_made(weights, budget):
    """The products reported are the matrix products of order n that NumPy is asked for."""
    made = 0

    class Watched(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
            nonlocal made
            plain = [np.asarray(v) if isinstance(v, Watched) else v for v in inputs]
            if ufunc is np.matmul and all(np.shape(v)[-2:] == (24, 24) for v in plain):
                made += 1
            if "out" in kwargs:
                kwargs["out"] = tuple(np.asarray(v) for v in kwargs["out"])
            result = getattr(ufunc, method)(*plain, **kwargs)
            return result.view(Watched) if isinstance(result, np.ndarray) else result

    A = unit(stack(24, 1))
    expected = spectral_guess(weights, A, max_products=budget, tol=0.0)
    source = spectral_guess.__globals__["np"].ascontiguousarray
    try:
        spectral_guess.__globals__["np"].ascontiguousarray = lambda a, dtype: a
        guess = spectral_guess(weights, A.view(Watched), max_products=budget, tol=0.0)
    finally:
        spectral_guess.__globals__["np"].ascontiguousarray = source
    assert made == guess.products[0] <= budget
    np.testing.assert_array_equal(guess.products, expected.products)


def test_a_larger_budget_never_ends_much_worse(weights):
    A = unit(stack(16, 200))
    before = residuals(A, spectral_guess(weights, A, max_products=13, tol=0.0).X)
    after = residuals(A, spectral_guess(weights, A, max_products=20, tol=0.0).X)
    assert (after <= before + 1e-6).all()


def test_easy_matrices_leave_early(weights):
    Q = with_condition(np.random.default_rng(3), 16, 1.0)
    A = unit(np.stack([Q, *stack(16, 30)]))
    guess = spectral_guess(weights, A, max_products=60)
    assert guess.products[0] < guess.products[1:].min()
    assert (guess.residual <= EARLY_EXIT).all()
    assert (residuals(A, guess.X) <= EARLY_EXIT + 1e-6).all()


# --- guard ---------------------------------------------------------------------------------------


def hostile(n, k=60):
    A = stack(n, k, seed=9)
    kind = np.arange(k) % 6
    A[kind == 1, -1] = A[kind == 1, 0]
    A[kind == 2] *= np.exp2(np.linspace(-60, 60, n))[:, None]
    A[kind == 3] = A[kind == 3][:, :, :1] * A[kind == 3][:, :1, :]
    A[kind == 4] = 0.0
    A[kind == 5] = np.eye(n)
    return A


@pytest.mark.parametrize("n", [1, 2, 3, 8, 20])
@pytest.mark.parametrize("budget", [20, 60])
def test_never_worse_than_the_start(weights, n, budget):
    A = hostile(n)
    norm = np.linalg.norm(A, axis=(1, 2), keepdims=True)
    S = A / np.where(norm > 0, norm, 1)
    guess = spectral_guess(weights, S, max_products=budget, tol=0.0)
    assert np.isfinite(guess.X).all()
    start, end = residuals(S, S.swapaxes(1, 2)), residuals(S, guess.X)
    slack = 2.0**-22 * n * (1 + np.linalg.norm(guess.X, axis=(1, 2)))
    assert (end <= start + slack).all()


def test_badly_scaled_matrices_end_no_worse_than_they_began(weights):
    """Rounding in directions that cancel: where it was not counted 0.7 % of these ended worse."""
    rows = np.exp2(np.random.default_rng(4).integers(-60, 61, (1500, 16, 1)).astype(float))
    A = unit(stack(16, 1500) * rows)
    with np.errstate(all="ignore"):
        guess = spectral_guess(weights, A, max_products=60)
    start, end = residuals(A, A.swapaxes(1, 2)), residuals(A, guess.X)
    slack = 2.0**-22 * 16 * (1 + np.linalg.norm(guess.X, axis=(1, 2)))
    assert (end <= start + slack).all()


@pytest.mark.parametrize("budget", [7, 20])
@pytest.mark.parametrize("spread", [0.1, 1.0, 100.0])
def test_never_worse_whatever_the_weights(weights, spread, budget):
    rng = np.random.default_rng(17)
    wild = {k: rng.normal(scale=spread, size=w.shape) for k, w in weights.items()}
    A = unit(stack(12, 60))
    guess = spectral_guess(wild, A, max_products=budget, tol=0.0)
    assert np.isfinite(guess.X).all()
    start, end = residuals(A, A.swapaxes(1, 2)), residuals(A, guess.X)
    slack = 2.0**-22 * 12 * (1 + np.linalg.norm(guess.X, axis=(1, 2)))
    assert (end <= start + slack).all()


def test_one_bad_matrix_disturbs_no_neighbour(weights):
    """The count of a stack may change a product's bits in BLAS; its other matrices may not."""
    A = unit(stack(12, 9))
    before = spectral_guess(weights, A, max_products=20, tol=0.0).X
    A[4] = 0.0
    after = spectral_guess(weights, A, max_products=20, tol=0.0).X
    keep = np.arange(9) != 4
    np.testing.assert_allclose(after[keep], before[keep], rtol=1e-6, atol=1e-9)


def test_certified_inverses_of_any_order(trained):
    for n in (1, 2, 5, 17, 40):
        result = inv_ex(stack(n, 5), model=trained)
        assert result.certificate.certified.all()
    assert not inv_ex(np.ones((2, 6, 6)), model=trained).certificate.certified.any()


# --- at twenty products ---------------------------------------------------------------------------


@pytest.mark.parametrize("n, k", [(8, 2000), (16, 1000), (32, 200)])
def test_ahead_of_the_oracle_at_twenty_products(trained, n, k):
    A = stack(n, k, seed=77)
    r = schedules.first_residual(np.linalg.svd(A, compute_uv=False).astype(float))
    *_, last = schedules.chebyshev(r, schedules.best_compositions(20)[20])
    oracle = np.linalg.norm(last.eigenvalues, axis=1)
    mine = residuals(A, trained.guess(A, max_products=20))
    for level in (1, 0.1, 1e-3):
        assert np.mean(mine < level) >= np.mean(oracle < level)
    assert 10 * np.sum(mine >= 1) <= np.sum(oracle >= 1)


def test_positive_definite_matrices_start_from_the_identity(trained):
    """kappa where the transpose has kappa²: 1e4 within 20 products, which from Aᵀ it is not."""
    A = with_eigenvalues(np.random.default_rng(8), even_spectrum(16, np.full(50, 1e4)))
    assert (residuals(A, trained.guess(A, max_products=20)) < 1e-3).all()
    A[:, 0, 1] *= 1 + 1e-12  # not symmetric any more
    assert (residuals(A, trained.guess(A, max_products=20)) > 1e-3).any()


def test_symmetric_indefinite_matrices_are_inverted_all_the_same(trained):
    B = stack(12, 40)
    A = B + B.swapaxes(1, 2) + 4 * np.eye(12)
    assert inv_ex(A, model=trained).certificate.certified.all()


def test_the_dynamic_graph_runs_at_any_order(trained):
    """The bundled model.onnx: dynamic batch and order, standard operators, float32."""
    import onnx
    import onnxruntime

    path = trained.model.path / "model.onnx"
    graph = onnx.load(path)
    assert {node.domain for node in graph.graph.node} <= {"", "ai.onnx"}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n, k in ((2, 1), (5, 7), (16, 30)):
        A = stack(n, k).astype(np.float32)
        X = np.asarray(session.run(["X"], {"A": A})[0])
        # kappa eps, with the constant of a few dozen products.
        limit = 64 * n * np.finfo(np.float32).eps * np.linalg.cond(A.astype(float))
        assert (residuals(A.astype(float), X.astype(float)) <= limit).all()


def definite(n, k=10):
    """Kernel matrices of a Markov process."""
    x = np.linspace(0, 1, n)
    scale = np.linspace(0.05, 0.5, k)[:, None, None]
    return unit(np.exp(-np.abs(x[:, None] - x) / scale) + 0.01 * np.eye(n))


@pytest.mark.parametrize("budget", [0, 1, 3, 4, 12])
def test_definite_matrices_cost_two_products_less(weights, budget):
    """Neither I - c A nor c p(I - c A) takes one: the polynomial has the degree that it names."""
    A = definite(10, 3)
    guess = spectral_guess(weights, A, max_products=budget, tol=0.0)
    assert (guess.products <= budget).all()
    assert (residuals(A, guess.X) <= guess.residual + 1e-9).all()
    if budget <= 4:  # one open-ended step of degree budget + 1, and R once more where that helps
        values = np.linalg.eigvalsh(A)
        r = 1 - values * (values.sum(axis=1) / (values**2).sum(axis=1))[:, None]
        images = [np.stack([q**j - q ** (j + 1) for j in range(budget + 1)], axis=1) for q in r]
        best = [
            q - M @ np.linalg.lstsq(M, q, rcond=None)[0] for q, M in zip(r, images, strict=True)
        ]
        reach = np.linalg.norm(r, axis=1)
        if budget:
            reach = np.minimum(reach, np.linalg.norm(r**2, axis=1) ** 0.5)
        expected = np.minimum(reach, 1) * np.linalg.norm(best, axis=1)
        np.testing.assert_allclose(guess.residual, expected, rtol=1e-6)


def test_what_is_symmetric_but_for_rounding_starts_from_the_identity(weights):
    """H P Hᵀ as it is computed: the same products as its symmetric part."""
    rng = np.random.default_rng(3)
    H = rng.standard_normal((40, 24, 5))
    A = unit((H * rng.uniform(0.5, 2.0, 5)) @ H.swapaxes(1, 2) + np.eye(24))
    A = A * (1 + EPS * rng.integers(-2, 3, A.shape))
    assert (A.swapaxes(1, 2) != A).any(axis=(1, 2)).all()
    found = spectral_guess(weights, A, max_products=60)
    same = spectral_guess(weights, (A + A.swapaxes(1, 2)) / 2, max_products=60)
    np.testing.assert_array_equal(found.products, same.products)
    assert (residuals(A, found.X) <= EARLY_EXIT + 1e-6).all()
