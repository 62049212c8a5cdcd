"""Canonical JSON: one value, one sequence of bytes, on every machine and after every reading."""

from __future__ import annotations

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.core.canonical import canonical_json, digest_of, from_canonical
from bailiwick.core.errors import InvalidInput

_NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(_VALUES)
def test_what_was_written_reads_back_to_the_same_bytes(value: object) -> None:
    written = canonical_json(value)
    assert canonical_json(from_canonical(written)) == written


@given(_VALUES)
def test_the_bytes_are_those_of_the_reference_implementation(value: object) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", range(128))
def test_every_character_of_ascii_is_escaped_as_the_standard_says(code: int) -> None:
    assert canonical_json({chr(code): [chr(code)]}) == rfc8785.dumps({chr(code): [chr(code)]})


def test_a_large_float_that_is_written_as_a_whole_number_survives() -> None:
    assert canonical_json(9.117850335537769e18) == b"9117850335537769000"
    assert canonical_json(from_canonical(b"9117850335537769000")) == b"9117850335537769000"


def test_keys_are_sorted_by_utf16_and_numbers_are_those_of_ecmascript() -> None:
    assert canonical_json({"b": 1.0, "a": 1e21, "\U0001f600": 0.000001, "\ufb33": 1e-7}) == (
        b'{"a":1e+21,"b":1,"\xf0\x9f\x98\x80":0.000001,"\xef\xac\xb3":1e-7}'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, {1: 2}, object()])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="canonical"):
        canonical_json(value)


def test_equal_values_have_equal_digests() -> None:
    assert digest_of({"a": [1, 2.0]}) == digest_of({"a": [1.0, 2]})
