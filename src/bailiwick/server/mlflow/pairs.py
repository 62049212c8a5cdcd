"""Params and tags on the wire: lists of a key and a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bailiwick.server.mlflow.message import Message


class Pair(Message):
    """A param or a tag; a value that is not set is an empty text."""

    key: str | None = None
    value: str | None = None


def texts_of(pairs: Iterable[Pair] | None) -> dict[str, str]:
    """The last value of each key."""
    return {each.key or "": each.value or "" for each in pairs or ()}


def pairs_json(texts: Mapping[str, str]) -> list[dict[str, str]]:
    """In the order of the texts."""
    return [{"key": key, "value": value} for key, value in texts.items()]
