"""Text files as people have them: whatever the spelling, the same matrices."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepmatrixinversion.cli import invert as command
from deepmatrixinversion.errors import MatrixFormatError
from deepmatrixinversion.matrices import Dialect, line_chunks, read_matrices
from deepmatrixinversion.matrices.sniffing import sniff

MATRIX = [[0.5, -2.0], [3.0, 1e-3]]


@pytest.fixture
def read(tmp_path):
    def read(text, name="a.csv", **options):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_matrices(tmp_path / name, **options)

    return read


SPELLINGS = {
    "plain": "0.5,-2\n3,1e-3\n",
    "semicolons": "0.5;-2\n3;1e-3\n",
    "tabs": "0.5\t-2\n3\t1e-3\n",
    "spaces": "  0.5 -2\n3    1e-3  \n",
    "spaces and tabs": "0.5 \t -2\n3\t1e-3\n",
    "semicolons and spaces": "0.5 ; -2\n3 ; 1e-3\n",
    "decimal commas, semicolons": "0,5;-2\n3;1e-3\n",
    "decimal commas, tabs": "0,5\t-2,0\n3,0\t0,001\n",
    "decimal commas, spaces": "0,5 -2,0\n3,0 0,001\n",
    "quotes": '"0.5","-2"\n"3","1e-3"\n',
    "quotes around some": '0.5,"-2"\n"3",1e-3\n',
    "quoted decimal commas": '"0,5","-2"\n"3","0,001"\n',
    "quoted decimal commas, semicolons": '"0,5";"-2"\n"3";"0,001"\n',
    "header": "x,y\n0.5,-2\n3,1e-3\n",
    "quoted header": '"first name","y"\n0.5,-2\n3,1e-3\n',
    "header, semicolons": "x;y\n0,5;-2\n3;0,001\n",
    "title": "Stiffness of the left leg\n\n0.5,-2\n3,1e-3\n",
    "title and header": "Stiffness\nx,y\n0.5,-2\n3,1e-3\n",
    "pandas": ",0,1\n0,0.5,-2\n1,3,1e-3\n",
    "pandas with names": ",x,y\na,0.5,-2\nb,3,1e-3\n",
    "pandas, numbered rows": ",x,y\n0,0.5,-2\n1,3,1e-3\n",
    "R": '"x" "y"\n"1" 0.5 -2\n"2" 3 1e-3\n',
    "R, named rows": '"x","y"\n"a",0.5,-2\n"b",3,1e-3\n',
    "labels": "a,0.5,-2\nb,3,1e-3\n",
    "labels under a heading": "name,x,y\na,0.5,-2\nb,3,1e-3\n",
    "comments": "# two rows\n0.5,-2 # first\n% and\n3,1e-3\n# end\n",
    "empty lines": "\n\n0.5;-2\n\n3;1e-3\n\n",
    "end": "0.5;-2\n3;1e-3\nEND\n",
    "CRLF": "x;y\r\n0,5;-2\r\n3;0,001\r\n",
    "Excel's hint": "sep=;\r\n0,5;-2\r\n3;0,001\r\n",
    "empty columns and rows": "x;y;;\n0,5;-2;;\n3;0,001;;\n;;;\n",
    "empty columns, commas": "0.5,-2,\n3,1e-3,\n,,\n",
    "dates": "t;x;y\n2026-01-31;0,5;-2\n2026-02-28;3;0,001\n",
    "dates, German": "31.01.2026;0,5;-2\n28.02.2026;3;0,001\n",
    "times": "t,x,y\n12:00,0.5,-2\n12:30:15,3,1e-3\n",
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_every_spelling_of_one_matrix(read, text, encoding):
    assert read(text.encode(encoding)).tolist() == [MATRIX]


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_spellings_of_a_stack(read, text):
    first = "\n".join(text.replace("\r", "").splitlines()).removesuffix("\nEND")
    rows = [line for line in first.splitlines() if re.search(r"-2|1e-3|0[.,]001", line)]
    assert read("\n".join([first, "END", *rows, "END", ""])).tolist() == [MATRIX, MATRIX]


@pytest.mark.parametrize("delimiter", [";", "\t", " "])
def test_long_files_are_read_in_chunks_in_any_spelling(read, monkeypatch, delimiter):
    stack = np.random.default_rng(0).standard_normal((50, 3, 3))
    rows = ["\n".join(delimiter.join(map(repr, row)) for row in m) for m in stack.tolist()]
    text = ("head\n" + "\nEND\n".join(rows) + "\n").replace(".", ",")
    monkeypatch.setattr(line_chunks, "CHUNK", 1000)
    assert np.array_equal(read(text), stack)
    assert np.array_equal(read(text.encode("utf-16")), stack)


@pytest.mark.parametrize(
    "text, message",
    [
        ("1,2\n3;4\n", "line 2): '3;4' is not a number: found ';' after 3, expected ','"),
        ("1;2\n3,4\n", "line 2): '3,4' is not a number: found ',' after 3, expected ';'"),
        ("1;2\n3;x\n", "line 2): 'x' is not a number"),
        ("1 2\n3 4;5\n", "line 2): '4;5' is not a number: found ';' after 4, expected ' '"),
        ("1,2\n3 4\n", "line 2): '3 4' is not a number: found ' ' after 3, expected ','"),
        ("0.0236432494;1,2\n", "'0.0236432494;1' is not a number: found ';'"),
        ("0,5;1\n1.234,5;2\n", "line 2): '1.234,5' is not a number"),
        ("1,2;3\n4,5.5;6\n", "line 2): '4,5.5' is not a number"),
        ("0,5;1\n1.234;2\n", "line 2): '1.234' is not a number"),
        ("NA,1\nNA,2\n", "line 1): 'NA' is not a number"),
        ("x,2\n3,4\n", "line 1): 'x' is not a number"),
        (",2\n3,4\n", "line 1): a field is empty"),
        ("x;y\n1;2\n;3\n", "line 3): a field is empty"),
        ("x;y;z\n1;2;3\n4;;\n7;8;9\n", "line 3): a row of 1 where the rows before have 3"),
        ("t;x;y\na;1;2\nb;;\nc;3;4\n", "line 3): a field is empty"),
        ("x;y\n1;#DIV/0!\n", "line 2): '#DIV/0!' is not a number"),
        ("1,2\n#N/A,3\n4,5\n", "line 2): '#N/A' is not a number"),
        ("1,2\n3,#NV\n", "line 2): '#NV' is not a number"),
        ("x;y\n12%;1\n1;3\n", "line 2): '12%' is not a number"),
        ("0,5;1\n1\xa0234,5;2\n", "'1\\xa0234,5' is not a number: what parts its thousands"),
        ("1,2\n3\n", "line 2): a row of 1 where the rows before have 2"),
        ('1,2\n"3,4\n', "line 2): '\"3,4' is not a number"),
        ('1,2\n"3\r4",5\n', "is not a number"),
        ("name\n", "line 1): 'name' is not a number"),
    ],
)
def test_a_refusal_names_the_culprit(read, text, message):
    with pytest.raises(MatrixFormatError, match=re.escape(message)):
        read(text)


def test_a_minus_sign_is_one(read):
    assert read("x;y\n−0,5;-2\n3;−1e−3\n").tolist() == [[[-0.5, -2], [3, -1e-3]]]


def test_rows_that_are_matrices_are_said_to_be(read):
    with pytest.raises(MatrixFormatError, match=r"table\.reshape\(-1, 2, 2\)"):
        read("1,2,3,4\n" * 5, square=True)


def test_cut_utf16_is_refused(read):
    data = "1,2\n3,4\n".encode("utf-16") + b"\x00"
    with pytest.raises(MatrixFormatError, match=r"UTF-8.*UTF-16"):
        read(data)
    with pytest.raises(MatrixFormatError, match=r"UTF-8.*UTF-16"):
        read(b"\xff\xfe" + b"1\x00\x00\xdc,\x00" * 9)


def test_what_is_asked_for_is_not_guessed(read):
    assert read("1|2\n3|4\n", dialect=Dialect(delimiter="|")).tolist() == [[[1, 2], [3, 4]]]
    assert read("1,5\n2,5\n", dialect=Dialect(decimal=",")).tolist() == [[[1.5], [2.5]]]
    text = "1,2\n0.5,-2\n3,1e-3\n"
    assert read(text, dialect=Dialect(skip_header=1)).tolist() == [MATRIX]
    assert read(text).shape == (1, 3, 2)
    with pytest.raises(MatrixFormatError, match="'x'"):
        read("x,y\n1,2\n", dialect=Dialect(skip_header=0))
    text = "7,0.5,-2\n7,3,1e-3\n"
    assert read(text, dialect=Dialect(index_column=True)).tolist() == [MATRIX]
    many = "some\n" * 500_000
    assert read(f"{many}1;2\n", dialect=Dialect(skip_header=500_000)).tolist() == [[[1, 2]]]
    with pytest.raises(MatrixFormatError, match=r"line 500001\b.*'x'"):
        read(f"{many}x;2\n", dialect=Dialect(delimiter=";", skip_header=500_000))


@pytest.mark.parametrize(
    "name, value",
    [
        ("delimiter", "ab"),
        ("delimiter", "5"),
        ("delimiter", "é"),
        ("decimal", "'"),
        ("skip_header", -1),
    ],
)
def test_dialects_that_cannot_be(name, value):
    with pytest.raises(ValueError, match=f"{name} is '?{value}"):
        Dialect(**{name: value})


def test_plain_text_stays_as_it_is():
    text = b"1.0,2.0\n3.0,4.0\nEND\n" * 1000
    dialect = sniff(text, Dialect())
    assert dialect == Dialect(",", ".", 0, False)
    assert dialect.plain(text, 0) is text


def test_the_command_takes_the_spelling(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("9|9\n2,0|0\n0|4,0\n")
    words = ["--inputmx", "a.csv", "--inverseout", "x.csv"]
    spelling = ["--delimiter", "|", "--decimal", "comma", "--skip-header", "1"]
    assert command.main([*words, *spelling]) == 0
    assert read_matrices("x.csv").tolist() == [[[0.5, 0], [0, 0.25]]]
    said = "a.csv: read as '|' between numbers, decimal commas, 1 line of header\n"
    assert capsys.readouterr().err == said
    assert command.main([*words, *spelling, "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert command.main(words) == 2
    assert "found '|' after 9, expected ','" in capsys.readouterr().err
    assert command.main([*words, "--delimiter", "ab"]) == 2
    assert "must be one ASCII character" in capsys.readouterr().err


def spelled(stack, delimiter, decimal, header, labels, newline):
    """The text of a stack in a dialect."""
    lines = [delimiter.join(f"x{j}" for j in range(stack.shape[2] + labels))] * header
    for matrix in stack.tolist():
        for i, row in enumerate(matrix):
            numbers = [repr(number).replace(".", decimal) for number in row]
            lines.append(delimiter.join([f"r{i}"] * labels + numbers))
        lines.append("END")
    return newline.join(lines) + newline


def test_any_stack_comes_back_from_any_spelling(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "a.txt"

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        hnp.arrays(
            np.float64,
            st.tuples(st.integers(1, 3), st.integers(2, 4), st.integers(2, 4)),
            elements=st.floats(allow_nan=False),
        ),
        st.sampled_from([",.", ";.", ";,", "\t.", "\t,", " .", " ,"]),
        st.booleans(),
        st.booleans(),
        st.sampled_from(["\n", "\r\n"]),
        st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    )
    def check(stack, spelling, header, labels, newline, encoding):
        text = spelled(stack, spelling[0], spelling[1], header, labels, newline)
        path.write_bytes(text.encode(encoding))
        assert read_matrices(path).tobytes() == stack.tobytes()

    check()


@pytest.mark.parametrize(
    "text, culprit",
    [
        ("Name;A;B\nr1;1,5;2\nr2;3;1.234,5\n", "(line 3): '1.234,5' is not a number: what parts"),
        ('"1,234.5",2\n3,4\n', "'1,234.5' is not a number: what parts its thousands must go"),
        ("A;B\n1,5;2\n3;x\n", "(line 3): 'x' is not a number"),
        ("A,B\n1.5,2\n3,x\n", "(line 3): 'x' is not a number"),
        ("A B\n1.5 2\n3 x\n", "(line 3): 'x' is not a number"),
    ],
)
def test_one_field_that_spoils_a_table_is_the_one_that_is_named(tmp_path, text, culprit):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(MatrixFormatError) as caught:
        read_matrices(tmp_path / "a.csv")
    assert culprit in str(caught.value)
