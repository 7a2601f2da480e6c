"""What Vensim models read from spreadsheets and text files."""

from pathlib import Path

import pytest
from openpyxl import Workbook
from openpyxl.workbook.defined_name import DefinedName

from perdure.engines.system_dynamics.sources.problems import Unservable
from perdure.engines.system_dynamics.sources.vensim.spreadsheets import Spreadsheets

SHEETS = Path(__file__).parents[2] / "fixtures/sd_models"

# Columns A to E of the tab; the names of ranges are below.
TABLE = [
    ["time", 0, 2, 5, None],
    ["low", 10, 20, 50, None],
    ["high", 1, None, 3, None],
    [None, "x", "y", 7, 8],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("sheets")
    book = Workbook()
    sheet = book.active
    sheet.title = "Data"
    for row in TABLE:
        sheet.append(row)
    book.defined_names["times"] = DefinedName("times", attr_text="Data!$B$1:$D$1")
    book.defined_names["low"] = DefinedName("low", attr_text="Data!$B$2:$D$2")
    sheet.defined_names["one"] = DefinedName("one", attr_text="Data!$D$4")
    book.create_sheet("Other").append([99])
    book.save(made / "input.xlsx")
    (made / "table.csv").write_text("a,1,2\nb,3,4\n")
    (made / "table.tab").write_text("1\t2\n3\t4\n")
    return made


@pytest.fixture
def sheets(folder: Path) -> Spreadsheets:
    return Spreadsheets(folder)


@pytest.mark.parametrize(
    ("cell", "shape", "numbers"),
    [
        ("B2", (), [10]),
        ("B2", (3,), [10, 20, 50]),
        ("B1*", (2,), [0, 10]),
        ("b1", (2, 3), [0, 2, 5, 10, 20, 50]),
        ("B1*", (3, 2), [0, 10, 2, 20, 5, 50]),
        ("B1", (1, 3, 1), [0, 2, 5]),
        ("LOW", (3,), [10, 20, 50]),
        ("one", (), [7]),
    ],
)
def test_constants_lie_in_rows_and_transposed_in_columns(sheets, cell, shape, numbers):
    assert sheets.constants("input.xlsx", "data", cell, shape) == numbers


def test_series_in_rows_columns_and_ranges(sheets):
    rows = sheets.series("input.xlsx", "Data", "1", "B2", 1)
    assert (rows.x, rows.ys) == ((0.0, 2.0, 5.0), ((10.0, 20.0, 50.0),))
    named = sheets.series("input.xlsx", "Data", "times", "low", 1)
    assert named == rows
    both = sheets.series("input.xlsx", "Data", "1", "B2", 2)
    assert both.ys[1][0::2] == (1.0, 3.0)
    assert both.ys[1][1] != both.ys[1][1]
    columns = sheets.series("table.csv", ",", "B", "C1", 1)
    assert (columns.x, columns.ys) == ((1.0, 3.0), ((2.0, 4.0),))


@pytest.mark.parametrize(
    ("first", "last", "names"),
    [
        ("A1", "A3", ["time", "low", "high"]),
        ("A1", "3", ["time", "0", "2", "5", "low", "10", "20", "50", "high", "1", "3"]),
        ("B4", "C", ["x", "y"]),
        ("B4", "", ["x", "y", "7", "8"]),
        ("times", "", ["0", "2", "5"]),
    ],
)
def test_the_elements_of_a_range(sheets, first, last, names):
    assert sheets.names("input.xlsx", "Data", first, last, "") == names
    assert sheets.names("input.xlsx", "Data", first, last, "p_") == [f"p_{name}" for name in names]


def test_text_files_and_old_spreadsheets(sheets):
    assert sheets.constants("table.tab", "\\t", "A2", (2,)) == [3.0, 4.0]
    assert sheets.constants("table.csv", "", "C2", ()) == [4.0]
    old = Spreadsheets(SHEETS / "tests/get_lookups_subset")
    assert old.series("input.xls", "sheet1", "4", "C5", 2).x[:2] == (0.0, 5.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.constants("input.xlsx", "Data", "A1", ()), "empty or holds no number"),
        (lambda s: s.constants("input.xlsx", "Data", "B1", (2, 2, 2)), "two dimensions at most"),
        (lambda s: s.constants("input.xlsx", "Data", "nothing", ()), "neither a cell nor the name"),
        (lambda s: s.constants("input.xlsx", "Data", "low", (2,)), "the variable 1x2"),
        (lambda s: s.constants("input.xlsx", "Missing", "B1", ()), "no tab 'Missing', but 'Data', 'Other'"),
        (lambda s: s.constants("missing.xlsx", "Data", "B1", ()), "no file 'missing.xlsx'"),
        (lambda s: s.constants("?data", "Data", "B1", ()), "stands for a name"),
        (lambda s: s.series("input.xlsx", "Data", "1", "nowhere", 1), "is no cell"),
        (lambda s: s.series("input.xlsx", "Data", "times", "one", 1), "don't fit"),
        (lambda s: s.series("input.xlsx", "Data", "A", "B1", 1), "holds no numbers"),
    ],
)
def test_what_can_not_be_read_is_refused_with_the_reason(sheets, call, message):
    with pytest.raises(Unservable, match=message):
        call(sheets)


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "input.xlsx").write_bytes(b"no spreadsheet")
    with pytest.raises(Unservable, match="can't be read"):
        Spreadsheets(tmp_path).constants("input.xlsx", "Data", "A1", ())


@pytest.mark.parametrize("name", ["../table.csv", "{outside}", "link.csv", "x" * 300 + ".csv", "a\0b.csv"])
def test_only_files_beside_the_model_are_read(tmp_path, folder, name):
    (tmp_path / "table.csv").write_text("1,2\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "link.csv").symlink_to(tmp_path / "table.csv")
    with pytest.raises(Unservable, match=r"there is no file .* beside the model"):
        Spreadsheets(inner).constants(name.format(outside=folder / "table.csv"), ",", "A1", ())
    (inner / "below").mkdir()
    (inner / "below" / "table.csv").write_text("5,6\n")
    assert Spreadsheets(inner).constants("below\\table.csv", ",", "B1", ()) == [6]


@pytest.mark.parametrize("last", ["A999999999", "A" + "9" * 5000, "9" * 5000, "??"])
def test_ranges_of_cells_are_limited(sheets, last):
    with pytest.raises(Unservable, match=r"2000000 are allowed|is no cell"):
        sheets.names("table.csv", ",", "A1", last, "")


@pytest.mark.parametrize("x", ["9" * 5000, "A" + "9" * 5000])
def test_places_of_thousands_of_digits_are_none(sheets, x):
    with pytest.raises(Unservable, match="is neither a cell nor the name of a range"):
        sheets.series("input.xlsx", "Data", x, "B2", 1)
