"""Arrays of other libraries come back as what they were, or are refused by name."""

# Arrays come back as the kind that went in, which the annotations do not say.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

from deepmatrixinversion import (
    SingularMatrixError,
    certify,
    entrywise_error_bound,
    inv,
    inv_ex,
    pinv,
    pinv_ex,
    solve,
    solve_ex,
)

RNG = np.random.default_rng(0)
A = RNG.normal(size=(4, 3, 3))
B = RNG.normal(size=(4, 3, 2))

FUNCTIONS = {
    "inv": inv,
    "inv_ex": inv_ex,
    "pinv": pinv,
    "pinv_ex": pinv_ex,
    "solve": lambda M: solve(M, M),
    "solve_ex": lambda M: solve_ex(M, M),
    "certify": lambda M: certify(M, M),
    "entrywise_error_bound": lambda M: entrywise_error_bound(M, M),
}
function = pytest.mark.parametrize("call", FUNCTIONS.values(), ids=FUNCTIONS.keys())
LIBRARIES = (
    "torch",
    pytest.param("jax.numpy", marks=pytest.mark.jax),
    pytest.param("array_api_strict", marks=pytest.mark.dask),
)


def leaves(result):
    """Every array of a record of records."""
    if isinstance(result, tuple):
        return [x for part in result for x in leaves(part)]
    return [result]


@function
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_arrays_come_back_as_what_they_were(call, library, dtype):
    """All of them, in single precision, which JAX holds by default."""
    xp = importlib.import_module(library)
    if dtype == np.complex64 and call is FUNCTIONS["entrywise_error_bound"]:
        pytest.skip("of real matrices alone")
    M = A.astype(dtype)
    expected, found = leaves(call(M)), leaves(call(xp.asarray(M)))
    assert len(expected) == len(found)
    for x, y in zip(found, expected, strict=True):
        assert type(x) is type(xp.asarray(M))
        back = np.asarray(x) if library == "jax.numpy" else np.from_dlpack(x)
        assert back.shape == y.shape
        if back.dtype == y.dtype:
            np.testing.assert_array_equal(back, y)
        else:  # JAX without x64: bounds are rounded up
            assert library == "jax.numpy"
            assert (back >= y).all()
            assert (back <= np.nextafter(y.astype(np.float32), np.float32(np.inf))).all()


def test_tensors_are_read_where_they_lie_and_stay_what_they_are():
    M = torch.from_numpy(A.copy())
    X = inv(M)
    assert X.dtype == torch.float64
    assert torch.equal(M, torch.from_numpy(A))
    assert inv(torch.tensor([[2, 0], [0, 4]])).dtype == torch.float64
    assert torch.equal(solve(M, B), solve(M, torch.from_numpy(B)))
    assert isinstance(solve(A, torch.from_numpy(B)), torch.Tensor)
    assert torch.equal(inv(M.mT), inv(M.mT.contiguous()))
    assert isinstance(inv(torch.nn.Parameter(M, requires_grad=False)), torch.Tensor)


def test_an_error_carries_what_was_given():
    with pytest.raises(SingularMatrixError) as caught:
        inv(torch.ones(2, 2))
    assert isinstance(caught.value.inversion.certificate.certified, torch.Tensor)


class Mine(torch.Tensor):
    """Known by its base class, since its own module says nothing."""


REFUSED = {
    "with a gradient": torch.ones(2, 2, requires_grad=True),
    "half": torch.ones(2, 2, dtype=torch.bfloat16),
    "sparse": torch.eye(2).to_sparse(),
    "elsewhere": torch.ones(2, 2, device="meta"),
    "a subclass": torch.ones(2, 2, requires_grad=True).as_subclass(Mine),
}


@function
@pytest.mark.parametrize("M", REFUSED.values(), ids=REFUSED.keys())
def test_tensors_that_numpy_cannot_read_are_refused_by_name(call, M):
    with pytest.raises(TypeError, match=r"(torch|Mine) .*deepmatrixinversion\.torch"):
        call(M)


def test_within_a_transformation_they_are_refused():
    with pytest.raises(TypeError, match=r"deepmatrixinversion\.torch"):
        torch.vmap(inv)(torch.eye(3)[None])


class Standard:
    """An array of a library that nobody knows, elsewhere than in this machine's memory."""

    def __array_namespace__(self, **_):
        return np

    def __array__(self, *_, **__):
        return np.eye(2)


def test_an_unknown_library_is_never_read_silently():
    with pytest.raises(TypeError, match="NumPy array"):
        inv(Standard())
    with pytest.raises(TypeError, match="NumPy array"):
        inv([Standard(), Standard()])


@pytest.mark.jax
def test_jax():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    with pytest.raises(TypeError, match="torch and jax"):
        solve(torch.eye(3), jnp.eye(3))
    with pytest.raises(TypeError, match=r"deepmatrixinversion\.jax.*outside of jax\.jit"):
        jax.jit(inv)(jnp.eye(3))
    with pytest.raises(TypeError, match="jax_enable_x64"):
        inv(jnp.eye(3, dtype=int))
    with jax.enable_x64(True):
        assert inv(jnp.eye(3, dtype=int)).dtype == jnp.float64
        result = inv_ex(jnp.asarray(A))
        np.testing.assert_array_equal(result.inverse, inv(A))
        np.testing.assert_array_equal(result.certificate.error_bound, inv_ex(A)[1].error_bound)


# --- labels ---------------------------------------------------------------------------------------


@pytest.mark.dask
def test_a_data_frame_keeps_its_labels():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame([[2, 1], [0, 4]], index=["a", "b"], columns=["x", "y"])
    for X in (inv(frame), inv_ex(frame).inverse, pinv(frame)):
        assert list(X.index) == ["x", "y"]
        assert list(X.columns) == ["a", "b"]
    np.testing.assert_allclose((frame @ inv(frame)).to_numpy(), np.eye(2), atol=1e-15)
    right = pd.Series([1, 2], index=["a", "b"], name="s")
    Y = solve(frame, right)
    assert (list(Y.index), Y.name, list(Y)) == (["x", "y"], "s", [0.25, 0.5])
    columns = pd.DataFrame({"k": [1, 2]}, index=["a", "b"])
    assert solve_ex(frame, columns).solution.loc["y", "k"] == 0.5
    assert list(solve(frame.to_numpy(), right).index) == ["a", "b"]
    assert type(solve(frame, right.to_numpy())) is np.ndarray  # of B's class, as NumPy has it
    with pytest.raises(ValueError, match="different labels"):
        solve(frame, right.rename({"a": "c"}))
    with pytest.raises(SingularMatrixError):
        inv(frame * 0)
    with pytest.raises(TypeError, match="object"):
        inv(frame.astype(str))


@pytest.mark.dask
def test_a_data_array_keeps_its_names():
    xr = pytest.importorskip("xarray")
    M = xr.DataArray(A, dims=("t", "i", "j"), coords={"t": [3, 1, 4, 2], "i": list("abc")})
    X = inv(M)
    assert X.dims == ("t", "j", "i")
    np.testing.assert_array_equal(X.t, [3, 1, 4, 2])
    np.testing.assert_array_equal(X.transpose("t", "j", "i"), inv(A))
    assert pinv(M[0]).dims == ("j", "i")
    right = xr.DataArray(B, dims=("t", "i", "k"), coords={"k": [7, 8]})
    Y = solve(M, right)
    assert Y.dims == ("t", "j", "k")
    np.testing.assert_array_equal(Y.k, [7, 8])
    assert solve(M, right[0, :, 0]).dims == ("t", "j")
    with pytest.raises(ValueError, match="named 'i'"):
        solve(M, right.rename(i="l"))
    with pytest.raises(ValueError, match="different labels"):
        solve(M, right.assign_coords(i=list("abd")))
    with pytest.raises(ValueError, match="stacks"):
        solve(M, right.rename(t="s"))
    with pytest.raises(TypeError, match=r"deepmatrixinversion\.dask"):
        inv(M.chunk())
