import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mscf.data.spreadsheet import as_csv, as_named

names = st.text(st.sampled_from("=+-@\t\r\n'\",;a1 "), max_size=6)


@given(st.lists(names, min_size=1))
def test_every_name_comes_back_and_none_is_a_formula(cells) -> None:
    table = pd.DataFrame({"number": -1.5, "case": pd.Series(cells, dtype="str")})
    text = as_csv(table)
    for row in list(csv.reader(io.StringIO(text, newline="")))[1:]:
        assert not row[1].startswith(tuple("=+-@\t\r\n"))
        assert row[0] == "-1.5"  # a number, and no formula
    read = pd.read_csv(io.StringIO(text), dtype={"case": "str"}, keep_default_na=False)
    assert [*as_named(read, ["case"])["case"]] == cells


@pytest.mark.parametrize("name", ["liver_3", "'quoted'", "a=b", "", "x-ray"])
def test_an_ordinary_name_is_written_as_it_is(name) -> None:
    table = pd.DataFrame({"case": [name]})
    assert as_csv(table) == table.to_csv(index=False, lineterminator="\n")
