"""JAX: the same inverses under jit, vmap and grad, with certificates that hold."""

from __future__ import annotations

import re

import numpy as np
import pytest

import deepmatrixinversion as dmx

jax = pytest.importorskip("jax")
pytestmark = pytest.mark.jax

import jax.numpy as jnp  # noqa: E402
from jax.test_util import check_grads  # noqa: E402

from deepmatrixinversion.jax import certificate, inv, inv_ex, pinv, solve  # noqa: E402
from deepmatrixinversion.linalg.certificate import RTOL  # noqa: E402
from deepmatrixinversion.matrices.distributions import (  # noqa: E402
    DISTRIBUTIONS,
    NumpySource,
    sample,
)
from menagerie import SINGULAR, SMALL  # noqa: E402
from truth import residuals  # noqa: E402

RNG = np.random.default_rng(0)
A = RNG.normal(size=(20, 6, 6))


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


# --- functions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("shape", [(0, 3, 3), (2, 0, 0), (7, 1, 1), (2, 5, 4, 4), (20, 20)])
def test_inverses(dtype, shape):
    M = RNG.normal(size=shape) + 1j * RNG.normal(size=shape)
    M = (M if np.iscomplexobj(dtype()) else M.real).astype(dtype)
    X = inv(M)
    assert (X.shape, X.dtype) == (M.shape, M.dtype)
    if M.size:
        bound = 16 * shape[-1] * np.finfo(dtype).eps * np.linalg.cond(M.astype(complex))
        assert (residuals(M, X) <= bound).all()
        assert np.abs(inv(M * 2.0**20) * 2.0**20 - X).max() == 0  # exact in powers of two


def test_solutions_and_pseudo_inverses():
    B = RNG.normal(size=(20, 6, 2))
    assert np.abs(solve(A, B) - np.linalg.solve(A, B)).max() < 1e-10
    assert np.abs(solve(A, B[0, :, 0]) - np.linalg.solve(A, B[0, :, 0])).max() < 1e-10
    assert solve(A[0].astype(np.float32), B[0].astype(np.float32)).dtype == jnp.float32
    for M in (A[:, :4], A[:, :, :4], A[:, :, :1] @ A[:, :1]):
        assert np.abs(pinv(M) - np.linalg.pinv(M, rtol=1e-7)).max() < 1e-9
    assert pinv(A[:, :4]).shape == (20, 6, 4)
    assert pinv(np.zeros((2, 0, 3))).shape == (2, 3, 0)


def test_transformations():
    M = jnp.asarray(A)
    np.testing.assert_allclose(jax.jit(inv)(M), inv(M), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(jax.vmap(inv)(M), inv(M), rtol=1e-9, atol=1e-12)
    X = inv(M[0])
    G = jax.grad(lambda A: (inv(A) ** 2).sum())(M[0])
    np.testing.assert_allclose(G, -X.T @ (2 * X) @ X.T, rtol=1e-9)
    N = M[0] + 3 * jnp.eye(6)
    check_grads(inv, (N,), order=2)
    check_grads(solve, (N, M[1]), order=2)
    check_grads(pinv, (N[:4],), order=1)
    hessian = jax.vmap(jax.hessian(lambda A: inv(A).sum()))(M[:2])
    assert hessian.shape == (2, 6, 6, 6, 6)


def test_a_second_call_compiles_nothing(caplog):
    for _ in range(2):
        caplog.clear()
        with jax.log_compiles():
            for function in (inv_ex, pinv, lambda A: solve(A, A)):
                function(A)
    assert "Finished" not in caplog.text


def test_every_product_is_in_full_precision():
    """As compiled for any device: TF32 and bfloat16 are for those who ask for them."""
    for function in (inv, inv_ex, pinv, lambda A: solve(A, A), jax.grad(lambda A: inv(A).sum())):
        text = jax.jit(function).lower(jnp.asarray(A[0], jnp.float32)).as_text()
        products = re.findall(r"stablehlo\.dot_general.*", text)
        assert len(products) > 5
        assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)


def test_what_cannot_be_is_refused():
    for M, message in (
        (np.ones((2, 3)), "square"),
        (np.ones(3), "square"),
        (np.ones((2, 2), int), "astype"),
        (jnp.ones((2, 2), jnp.bfloat16), "astype"),
    ):
        with pytest.raises(ValueError, match=message):
            inv(M)
    with pytest.raises(ValueError, match="fit"):
        solve(A, np.ones(5))
    with pytest.raises(ValueError, match="rtol"):
        pinv(A, rtol=1e-12)
    with pytest.raises(ValueError, match="real"):
        inv_ex(A + 1j)


# --- beside NumPy and JAX's own -------------------------------------------------------------------

ORDER = 12
REACH = {np.float32: 1e3, np.float64: 1e6}
"""Condition numbers that iterations reach whatever the spectrum."""


def of_one_order(M):
    """[[M, 0], [0, s I]], s as large as M, its largest entry near 1."""
    n = len(M)
    P = np.abs(M).max() * np.eye(ORDER)
    P[:n, :n] = M
    return np.ldexp(P, -np.frexp(np.abs(P).max())[1])


def everything(dtype, kinds):
    """Matrices of every distribution and the menagerie's, and their singular values."""
    source = NumpySource(np.random.default_rng(1))
    stacks = [sample(source, name, 6, ORDER, -1, 1) for name in DISTRIBUTIONS]
    some = [M for M in kinds.values() if len(M) <= ORDER and np.any(M)]
    M = np.stack([of_one_order(M) for M in (*np.concatenate(stacks), *some)]).astype(dtype)
    return M, np.linalg.svd(M.astype(float), compute_uv=False)


def relative(X, Y):
    """‖X - Y‖F over ‖Y‖F of each."""
    X, Y = np.asarray(X, float), np.asarray(Y, float)
    return np.linalg.norm(X - Y, axis=(1, 2)) / np.linalg.norm(Y, axis=(1, 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inverses_and_solutions_are_those_of_numpy(dtype):
    """And JAX's own, within a few n eps kappa, on every distribution and the menagerie."""
    M, sigma = everything(dtype, SMALL)
    kappa = sigma[:, 0] / sigma[:, -1].clip(1e-300)
    M, kappa = M[kappa < REACH[dtype]], kappa[kappa < REACH[dtype]]
    assert len(M) > 60
    near = 4 * ORDER * np.finfo(dtype).eps * kappa
    B = np.broadcast_to(np.eye(ORDER, 3, dtype=dtype), (len(M), ORDER, 3))
    result, Y = inv_ex(M), dmx.inv(M)
    assert (relative(result.inverse, Y) <= near).all()
    assert (relative(result.inverse, jnp.linalg.inv(M)) <= near).all()
    assert (relative(solve(M, B), dmx.solve(M, B)) <= near).all()
    subnormal = ((M != 0) & (abs(M) < np.finfo(dtype).tiny)).any(axis=(1, 2))
    assert result.certified[(near <= RTOL[M.dtype.itemsize]) & ~subnormal].all()
    assert not result.certified[subnormal].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pseudo_inverses_are_those_of_numpy(dtype):
    """Where singular values leave a gap around what counts as zero."""
    M, sigma = everything(dtype, SINGULAR)
    eps, rtol = np.finfo(dtype).eps, float(8 * ORDER * np.finfo(np.float32).eps)
    level = sigma / sigma[:, :1]
    gap = ~((level > rtol / 8) & (level < 8 * rtol)).any(axis=1)
    assert gap.sum() > 60
    kappa = 1 / np.where(level > rtol, level, 1).min(axis=1)[gap]
    X, Y = pinv(M[gap], rtol=rtol), dmx.pinv(M[gap], rtol=rtol)
    # kappa² of rounding in A where it fills up the rank.
    assert (relative(X, Y) <= 16 * ORDER * eps * kappa**2).all()


# --- certificates ---------------------------------------------------------------------------------


def spread(kappa, n=8, count=30):
    """Matrices of this condition number."""
    U, V = (np.linalg.qr(RNG.normal(size=(count, n, n)))[0] for _ in "UV")
    return (U * np.geomspace(1, 1 / kappa, n)) @ V


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounds_hold(dtype):
    """Against inverses that are proven right to the last bit, of matrices up to singular ones."""
    M = np.concatenate([spread(10.0**k) for k in (*range(14), 20)])
    scales = np.geomspace(1, 2.0**20, 8)  # rows and columns of many
    M = (RNG.permutation(scales)[:, None] * M * scales).astype(dtype)
    result, exact = jax.jit(inv_ex)(M), dmx.inv_ex(M.astype(float))
    X, bound = np.asarray(result.inverse, float), np.asarray(result.error_bound)
    rows, known = np.abs(X - exact.inverse).sum(-1), exact.certificate.certified
    error, beside = rows.max(-1), exact.certificate.error_bound
    assert known.sum() > 300
    assert (error <= bound + beside)[known].all()
    relative = np.asarray(result.relative_error_bound)
    allowed = relative[:, None] * np.abs(X).sum(-1) * (1 + 1e-9) + beside[:, None]
    assert (rows <= allowed)[known].all()
    wide = X.astype(np.longdouble)
    left = np.abs(np.eye(8) - M.astype(np.longdouble) @ wide).sum(-1).max(-1)
    assert (left <= np.asarray(result.residual_bound)).all()
    sound, size = np.asarray(result.certified), np.abs(X).sum(-1).max(-1)
    rtol = {np.float32: 1e-3, np.float64: 1e-6}[dtype]
    assert (error[sound] <= 1.01 * rtol * size[sound]).all()
    assert sound[:60].all()
    assert not sound[-30:].any()
    assert (np.isinf(bound) == np.isinf(relative)).all()
    assert 0 < np.isinf(bound).sum() < len(bound)


def test_what_is_never_certified():
    tiny = np.diag([1.0, 5e-324])
    bad = [
        np.ones((2, 2)),
        np.full((2, 2), np.nan),
        tiny,
        np.diag([1e308, 1e-308]),
        np.zeros((2, 2)),
    ]
    result = inv_ex(np.stack(bad))
    assert not result.certified.any()
    assert result.reason is None
    assert not inv_ex(np.diag([1.0, 1e-40]).astype(np.float32)).certified
    # An inverse that is wrong by 1e-3: proven to be no better.
    M = A[0] + 6 * np.eye(6)
    wrong = certificate.certified(jnp.asarray(M), jnp.asarray(np.linalg.inv(M) * 1.001), None)
    assert not wrong.certified
    assert 1e-3 <= wrong.residual_bound < 1.1e-3


def test_without_float64_nothing_is_certified_and_it_says_why():
    with jax.enable_x64(False):
        result = jax.jit(inv_ex)(A.astype(np.float32))
        assert not result.certified.any()
        assert "jax_enable_x64" in result.reason
        assert np.isinf(result.error_bound).all()
        assert pinv(A.astype(np.float32)).dtype == jnp.float32


@pytest.mark.parametrize("platform, answer", [("cpu", True), ("cuda", True), ("tpu", False)])
def test_certificates_are_for_the_platform_that_a_program_is_compiled_for(platform, answer):
    """Whichever the default is: a TPU's float64 products are put together."""
    traced = jax.jit(certificate._conventional).trace()
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert ("dense<true>" in text, "dense<false>" in text) == (answer, not answer)


def test_a_default_platform_of_other_products_is_named(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    result = inv_ex(A)
    assert not result.certified.any()
    assert "tpu" in str(result.reason)
