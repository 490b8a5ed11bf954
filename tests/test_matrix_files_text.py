"""The .mx and .csv text formats: what is accepted, what is written, what each mistake is told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices import (
    MatrixWriter,
    line_chunks,
    read_blocks,
    read_matrices,
    write_matrices,
)
from deepmatrixinversion.matrices import text_reader as module

pytestmark = pytest.mark.filterwarnings("ignore:.*does not end in a newline")

TWO = np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])


@pytest.fixture
def read(tmp_path):
    def read(text, name="a.mx", **options):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_matrices(tmp_path / name, **options)

    return read


@pytest.mark.parametrize("name", ["a.mx", "a.csv"])
@pytest.mark.parametrize(
    "text",
    [
        "1,2\n3,4\nEND\n5,6\n7,8\nEND\n",
        "1,2\n3,4\nEND\n5,6\n7,8\nEND",
        "1,2\n3,4\nEND\n5,6\n7,8\n",
        "1,2\n3,4\nEND\n5,6\n7,8",
        "1,2\r\n3,4\r\nEND\r\n5,6\r\n7,8\r\nEND\r\n",
        "1,2\r\n3,4\nEND\r\n5,6\n7,8\r\nEND\n",
        "1,2\r\n3,4\nEND\n5,6\r\n7,8",
        "\n\n1,2\n\n\n3,4\n\nEND\n\n5,6\n7,8\n\nEND\n\n\n",
        "\r\n \n1,2\n\t\n3,4\nEND\n  \r\n5,6\n7,8",
        " 1 , 2 \n3,\t4\t\n END \n5,6\n7 ,8\nEND\t\n",
        "1.,2e0\n.3e1,+4\nEND\n005,6.0\n7E0,80e-1\nEND\n",
        "\ufeff1,2\n3,4\nEND\n5,6\n7,8\nEND\n",
        "\ufeff1,2\r\n3,+4\r\nEND\r\n5,6\r\n7,8\r\n",
    ],
)
def test_spellings_of_the_same_two_matrices(read, text, name):
    assert np.array_equal(read(text, name), TWO)


def test_a_negative_zero_without_a_point_keeps_its_sign(read):
    signs = np.signbit(read("-0,0\n-0 ,-0.0\nEND\n3,-0\n-0,1"))
    assert signs.tolist() == [[[True, False], [True, True]], [[False, True], [True, False]]]


def test_decimals_become_the_nearest_float64(read):
    texts = ["0.1000000000000000055511151231257827", "123456789012345678901", "1e-400", "4.9e-324"]
    assert read(",".join(texts))[0, 0].tolist() == [float(text) for text in texts]


def test_one_number_is_a_matrix(read):
    assert read("5").tolist() == [[[5.0]]]
    assert read("5\nEND\n6\nEND").tolist() == [[[5.0]], [[6.0]]]
    assert read("5\n6\nEND\n").shape == (1, 2, 1)


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 8, 13, 1000])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_chunks_may_end_anywhere(read, monkeypatch, chunk, newline):
    stack = np.random.default_rng(0).standard_normal((6, 3, 2))
    text = "\nEND\n".join("\n".join(f"{a!r},{b!r}" for a, b in m) for m in stack.tolist())
    monkeypatch.setattr(line_chunks, "CHUNK", chunk)
    assert np.array_equal(read(text.replace("\n", newline)), stack)
    assert np.array_equal(read(text + newline + "END"), stack)
    with pytest.raises(MatrixFormatError, match=r"matrix 5 \(line 22\): .*'x'"):
        read((text + "\nEND\n").replace(repr(stack.tolist()[5][1][0]), "x").replace("\n", newline))


LINES = st.sampled_from(
    ["1,2", "3.5,-4e2", "-0,7", "1, 2", "nan,1", "END", "END ", "", " ", "1", "1,2,3", "x,1", "1;2"]
)


def test_the_fast_parser_agrees_with_the_slow_one(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "a.mx"

    def outcome(fast):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(line_chunks, "CHUNK", 11)
            if not fast:
                patch.setattr(module, "_parse_fast", lambda chunk, state: None)
            try:
                stack = read_matrices(path)
                return stack.shape, stack.tobytes()
            except MatrixFormatError as error:
                return str(error)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(LINES, max_size=12), st.sampled_from(["\n", "\r\n"]))
    def check(lines, newline):
        path.write_bytes(newline.join(lines).encode())
        assert outcome(fast=True) == outcome(fast=False)

    check()


def test_well_formed_text_takes_the_fast_way(tmp_path, monkeypatch):
    write_matrices(tmp_path / "a.mx", np.random.default_rng(0).standard_normal((50, 3, 3)))
    monkeypatch.setattr(module, "_parse_lines", None)
    assert read_matrices(tmp_path / "a.mx").shape == (50, 3, 3)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "a.mx: the file holds no matrix"),
        ("\n \r\n", "a.mx: the file holds no matrix"),
        ("1,2\n3\nEND\n", "matrix 0 (line 2): a row of 1"),
        ("1,2\n3,4\nEND\n\n1,2,3\n", "matrix 1 (line 5): a row of 3"),
        ("1\n2\nEND\n3\nEND", "matrix 1 (line 5): END comes after 1 row"),
        ("1\n2\nEND\n3", "matrix 1 (line 4): the file ends after 1 row"),
        ("1\nEND\n1\n3\nEND", "matrix 1 (line 4): another row"),
        ("END\n", "matrix 0 (line 1): END comes before any row"),
        ("1,2\nEND\nEND\n", "matrix 1 (line 3): END comes before any row"),
        ("1,2\n3,four\n", "matrix 0 (line 2): 'four' is not a number"),
        ("1,2\n3,\n", "matrix 0 (line 2): '' is not a number"),
        ("1,2\r\n,4\r\n", "matrix 0 (line 2): '' is not a number"),
        ("1,2\nend\n", "matrix 0 (line 2): 'end' is not a number"),
        ("1_000,2\n", "'1_000' is not a number"),
        ("0x10,2\n", "'0x10' is not a number"),
        ("1+2j,2\n", "'1+2j'"),
        ("true,2\n", "'true'"),
        ("null,2\n", "'null'"),
        ("[1],2\n", "'[1]'"),
        ("٣,2\n", "is not a number"),
        ("1,2\r3,4\n", "'2\\r3' is not a number: found '\\r' after 2, expected ','"),
        ("1,nan\n", "matrix 0 (line 1): 'nan' is not finite"),
        ("1,1\n1,-Inf\n", "matrix 0 (line 2): '-Inf' is not finite"),
        ("1,1e400\n", "matrix 0 (line 1): '1e400' is beyond"),
        ("1,2\x00\n", "matrix 0 (line 1): '2\\x00'"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "matrix 0 (line 1): '\\x93NUMPY\\x01\\x00v"),
        (bytes(range(256)), "is not a number"),
        (b"PK\x03\x04\xff\xfe\n", "'PK\\x03\\x04\\xff\\xfe'"),
        ("1" * 30 + "x", f"'{'1' * 20}...' is not a number"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_matrix_and_line(read, tmp_path, text, message):
    with pytest.raises(MatrixFormatError) as caught:
        read(text, finite=True)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'a.mx'}: ")
    assert "\n" not in str(caught.value)


def test_numbers_beyond_float64_are_infinite(read):
    assert read("1,-1e400").tolist() == [[[1.0, -np.inf]]]
    stack = read("nan,inf\n-INF,NaN\nEND\n1,2\n3,4")
    assert np.array_equal(
        stack, [[[np.nan, np.inf], [-np.inf, np.nan]], [[1, 2], [3, 4]]], equal_nan=True
    )


def test_a_mistake_late_in_a_long_file_is_found_at_its_line(read):
    lines = ["1,2", "3,4", "END"] * 200_000
    lines[3 * 150_000 + 1] = "3,oops"
    with pytest.raises(MatrixFormatError, match=r"matrix 150000 \(line 450002\): 'oops'"):
        read("\n".join(lines))


def test_matrices_before_a_mistake_can_be_used(tmp_path):
    (tmp_path / "a.mx").write_text("1\nEND\n" * 10**6 + "x\n")
    blocks = read_blocks(tmp_path / "a.mx", block_matrices=1000)
    assert np.array_equal(next(blocks), np.ones((1000, 1, 1)))
    with pytest.raises(MatrixFormatError, match=r"matrix 1000000 \(line 2000001\)"):
        list(blocks)


def test_an_endless_line_is_given_up(tmp_path):
    path = tmp_path / "a.mx"
    with open(path, "wb") as file:
        file.write(b"1,2\n")
        file.truncate(2**40)  # a terabyte of zero bytes, which takes no space
    with pytest.raises(MatrixFormatError, match="line 2: "):
        read_matrices(path)


def test_what_is_written(tmp_path):
    path = tmp_path / "a.mx"
    write_matrices(path, [[[1, 0.1], [-0.0, 1e300]], [[np.nan, np.inf], [-np.inf, 2]]])
    assert path.read_bytes() == b"1.0,0.1\n-0.0,1e+300\nEND\nnan,inf\n-inf,2.0\nEND\n"
    write_matrices(path, [[3]])
    assert path.read_bytes() == b"3.0\nEND\n"


def test_csv_has_end_only_between_several_matrices(tmp_path):
    path = tmp_path / "a.csv"
    write_matrices(path, TWO[0])
    assert path.read_bytes() == b"1.0,2.0\n3.0,4.0\n"
    with MatrixWriter(path) as writer:
        writer.write(TWO[0])
        writer.write(TWO[1])
    assert path.read_bytes() == b"1.0,2.0\n3.0,4.0\nEND\n5.0,6.0\n7.0,8.0\nEND\n"


def digits(text):
    return len(text.split("e")[0].replace("-", "").replace(".", "").strip("0"))


def test_numbers_are_written_with_the_fewest_digits_that_are_exact(tmp_path):
    numbers = np.random.default_rng(0).standard_normal((1, 1, 1000))
    write_matrices(tmp_path / "a.csv", numbers)
    fields = (tmp_path / "a.csv").read_text().strip().split(",")
    assert max(map(digits, fields)) == 17
    assert list(map(digits, fields)) == [digits(repr(x)) for x in numbers.ravel().tolist()]


@pytest.mark.parametrize("shape", [(1, 700, 700), (3, 300, 300), (1, 2, 200_000), (1, 200_000, 2)])
def test_large_matrices_are_written_in_pieces(tmp_path, shape):
    stack = np.random.default_rng(0).standard_normal(shape)
    write_matrices(tmp_path / "a.mx", stack)
    assert np.array_equal(read_matrices(tmp_path / "a.mx"), stack)
