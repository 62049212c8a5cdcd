"""Assignment of units: flagd's published values, and the two ways of computing it agree."""

from __future__ import annotations

from itertools import pairwise

import mmh3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.endpoints.assignment import bucket, choose, choose_many
from bailiwick.endpoints.model import Endpoint, Variant

COLOURS = ("red", "blue", "green", "yellow")


def endpoint(salt: str, weights: list[int]) -> Endpoint:
    names = [COLOURS[i] if i < len(COLOURS) else f"v{i}" for i in range(len(weights))]
    variants = tuple(
        Variant(name, "m", i, "", weight) for i, (name, weight) in enumerate(zip(names, weights, strict=True))
    )
    return Endpoint(name="e", salt=salt, epoch=1, variants=variants)


@pytest.mark.parametrize(
    ("salt", "unit", "hashed", "colour"),
    [
        ("headerColor", "rachel@faas.com", 1805633606, "blue"),
        ("headerColor", "monica@faas.com", 3314683759, "yellow"),
        ("headerColor", "joey@faas.com", 309582631, "red"),
        ("headerColor", "ross@faas.com", 1595699981, "blue"),
        ("my-seed", "rachel@faas.com", 2931187178, "green"),
        ("my-seed", "monica@faas.com", 309002457, "red"),
        ("my-seed", "joey@faas.com", 1300152927, "blue"),
        ("my-seed", "ross@faas.com", 3030988938, "green"),
        ("", "ross@faas.com", 345441592, "red"),
    ],
)
def test_flagd_golden_values(salt: str, unit: str, hashed: int, colour: str) -> None:
    quarters = endpoint(salt, [2500] * 4)
    assert mmh3.hash(salt + unit, 0, signed=False) == hashed
    assert bucket(salt, unit) == hashed * 10_000 >> 32
    assert COLOURS[choose(quarters, unit)] == colour


weights = (
    st.lists(st.integers(0, 1000), min_size=1, max_size=6)
    .filter(sum)
    .map(
        lambda raw: [
            *(share * 10_000 // sum(raw) for share in raw[:-1]),
            10_000 - sum(share * 10_000 // sum(raw) for share in raw[:-1]),
        ]
    )
)


@given(weights, st.text(max_size=8), st.lists(st.text(), max_size=30))
def test_many_units_at_once_get_what_each_gets_alone(split: list[int], salt: str, units: list[str]) -> None:
    there = endpoint(salt, split)
    assert choose_many(there, units).tolist() == [choose(there, unit) for unit in units]


def test_a_ramp_only_adds_units_to_the_new_arm() -> None:
    units = [f"unit-{i}" for i in range(5000)]
    arms = [
        set(np.flatnonzero(choose_many(endpoint("s", [w, 10_000 - w]), units) == 0))
        for w in (0, 100, 500, 2500, 10_000)
    ]
    assert all(smaller <= larger for smaller, larger in pairwise(arms))
    assert not arms[0]
    assert len(arms[-1]) == len(units)
    assert abs(len(arms[3]) / len(units) - 0.25) < 0.03
