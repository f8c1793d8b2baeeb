"""Tables as spreadsheets and people write them."""

import pytest

from tumor_ratio.cohort.csv_rows import read_csv_rows
from tumor_ratio.errors import ManifestError


@pytest.fixture
def read(tmp_path):
    def read(text: str):
        path = tmp_path / "list.csv"
        path.write_text(text, encoding="utf-8")
        header, rows = read_csv_rows(path, remedy="give one")
        return header, [(line, dict(cells)) for line, cells in rows]

    return read


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;;", "sep=; "])
def test_excels_first_line_tells_the_separator(read, first):
    header, rows = read(f"{first}\na;b,c\n1;2,5\n")
    assert header == ["a", "b,c"]
    assert rows == [(3, {"a": "1", "b,c": "2,5"})]


def test_empty_lines_before_the_header_do_not_choose_the_separator(read):
    assert read("\n ,,\n\na;b\n1;2,5\n") == (["a", "b"], [(5, {"a": "1", "b": "2,5"})])


def test_empty_columns_at_the_end_are_none(read):
    assert read("a,b,,\n1,2,,\n3,,,,\n") == (
        ["a", "b"],
        [(2, {"a": "1", "b": "2"}), (3, {"a": "3"})],
    )
    with pytest.raises(ManifestError, match="line 2: 3 cells under 2 columns"):
        read("a,b,,\n1,2,3,\n")


@pytest.mark.parametrize(
    "rows",
    ['1,"x\n2,y\n3,z\n', '1,"x\n2,"y"\n3,z\n', '1,"x\n2,y"\n3,z\n'],
)
def test_an_open_quote_swallows_no_rows(read, rows):
    with pytest.raises(ManifestError, match="line 3: a quote is not closed"):
        read("a,b\n0,w\n" + rows)


@pytest.mark.parametrize("row", ['1,"x', '1,"x"y', '1,"x"y\n2,z\n'])
def test_a_quote_ends_with_its_cell(read, row):
    with pytest.raises(ManifestError, match="line 2: a quote is not closed"):
        read("a,b\n" + row)


def test_quotes_hold_separators_and_quotes(read):
    _, rows = read('a,b\n"1,5","say ""x"""\n2,5" glass\n')
    assert [cells for _, cells in rows] == [
        {"a": "1,5", "b": 'say "x"'},
        {"a": "2", "b": '5" glass'},
    ]
