"""Tables fit their terminal and never steer it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.cli import layout
from bailiwick.cli.ids import full_id
from bailiwick.cli.output import print_json, shortened, when, words
from bailiwick.core.errors import InvalidInput

CELLS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=60))


@given(rows=st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=1, max_size=5))
def test_no_line_is_wider_than_the_terminal(rows: list[list[object]]) -> None:
    for line in layout.table(["a", "b", "c", "d"], rows, room=80):
        assert layout.cells_of(line) <= 80


@given(text=st.text(alphabet=st.characters(), max_size=200))
def test_nothing_that_a_terminal_obeys_is_printed(text: str) -> None:
    for line in layout.table(["a", "below"], [[text, text]], room=80, below="below"):
        assert line.isprintable()


def test_numbers_stand_to_the_right_and_text_to_the_left() -> None:
    assert layout.table(["name", "rows"], [["a", 5], ["bcd", 12345]], room=80) == [
        "name    rows",
        "a          5",
        "bcd   12,345",
    ]


def test_a_text_below_its_row_takes_the_whole_width() -> None:
    lines = layout.table(["id", "why"], [["a", "long " * 20], ["b", ""]], room=60, below="why")
    assert lines[0] == "id"
    assert lines[1] == "a"
    assert lines[2].startswith("    long long")
    assert lines[-1] == "b"


def test_wide_letters_take_two_cells() -> None:
    lines = layout.table(["name", "x"], [["航班", "1"], ["abcd", "2"]], room=80)
    assert lines[1:] == ["航班  1", "abcd  2"]


def test_a_column_is_broken_only_when_the_row_does_not_fit() -> None:
    lines = layout.table(["a", "b"], [["short", "word " * 20]], room=40)
    assert all(len(line) <= 40 for line in lines)
    assert lines[1].startswith("short  word")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "yes"),
        (1234567, "1,234,567"),
        (0.123456, "0.1235"),
        (98765.4, "98,765"),
        (1.36e12, "1.36e+12"),
        (math.nan, "nan"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u202eb", "a\\u202eb"),
    ],
)
def test_values_are_shown_as_people_read_them(value: object, shown: str) -> None:
    assert layout.cell(value) == shown


def test_times_are_utc_to_the_minute_or_second() -> None:
    assert when(1_357_102_800_999) == "2013-01-02 05:00"
    assert when(1_357_102_800_999, seconds=True) == "2013-01-02 05:00:00"
    assert when(None) == ""


def test_statuses_are_words() -> None:
    assert words("ROLLED_BACK") == "rolled back"


def test_ids_and_digests_in_a_text_are_cut_to_their_end() -> None:
    text = f"rollout {'0' * 24}89abcdef: v2, blob/{'f' * 64}"
    assert shortened(text) == "rollout 89abcdef: v2, blob/ffffffff"
    assert shortened("deadbeef and 12345") == "deadbeef and 12345"


def test_json_has_null_for_what_is_not_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": math.nan, "b": [math.inf, 1.5]})
    assert capsys.readouterr().out == '{\n  "a": null,\n  "b": [\n    null,\n    1.5\n  ]\n}\n'


IDS = ["01a2009b1e95766cb74a5872c800bb82", "01a2009b24f777eeb6f31713be585a73", "01a2009b24f777eeb6f31713be58aaaa"]


def test_the_end_or_beginning_of_an_id_finds_it() -> None:
    assert full_id("run", "c800bb82", IDS) == IDS[0]
    assert full_id("run", "01a2009b1e", IDS) == IDS[0]
    assert full_id("run", IDS[1], IDS) == IDS[1]


def test_several_matches_are_refused_and_none_is_left_to_the_service() -> None:
    with pytest.raises(InvalidInput, match=r"2 ids of a run match '01a2009b24f7'\. Give more digits"):
        full_id("run", "01a2009b24f7", IDS)
    assert full_id("run", "nothing", IDS) == "nothing"


def test_known_ids_are_not_read_for_a_whole_id() -> None:
    read = iter(["a" * 32])
    assert full_id("run", "f" * 32, read) == "f" * 32
    assert next(read) == "a" * 32
