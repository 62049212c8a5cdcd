"""What of an entry is committed to, and what the leaf reveals of it."""

from __future__ import annotations

from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from bailiwick.core.canonical import canonical_json
from bailiwick.store.journal.model import SHOWN, Entry

ENTRY = Entry(7, "a" * 32, "default", 5, "u-1", "Ada Lovelace", "model.made", "model/late", {"b": [1]}, b"s" * 16, 3)


def test_the_leaf_commits_to_every_column_but_its_own_place() -> None:
    assert set(SHOWN) | {"salt", "leaf_index"} == {field.name for field in fields(Entry)}
    assert replace(ENTRY, leaf_index=4).leaf() == ENTRY.leaf()
    assert replace(ENTRY, salt=b"t" * 16).leaf() != ENTRY.leaf()


@given(st.sampled_from(SHOWN), st.text(max_size=5))
def test_no_two_values_of_a_column_share_a_leaf(column: str, value: str) -> None:
    changed = replace(ENTRY, **{column: value})  # type: ignore[arg-type]
    assert changed.leaf() != ENTRY.leaf()


@given(st.text(min_size=4), st.text(min_size=4))
def test_the_leaf_names_neither_people_nor_things(person: str, thing: str) -> None:
    leaf = replace(ENTRY, actor=f"<{person}>", resource=f"<{thing}>").leaf()
    assert canonical_json(f"<{person}>").strip(b'"') not in leaf
    assert canonical_json(f"<{thing}>").strip(b'"') not in leaf
