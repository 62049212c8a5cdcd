"""Profiles of what an engine holds: the same frozen bins and counts as of the rows themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.data.engines import plan
from bailiwick.data.engines.asking import ask, in_parts
from bailiwick.data.engines.engine import Engine
from bailiwick.data.engines.ladder import Wanted, climb
from bailiwick.data.engines.model import Column, Kind
from bailiwick.data.engines.statistics import totals_of
from bailiwick.data.profile import (
    MAX_BINS,
    MAX_CATEGORIES,
    MAX_KNOWN_RARE,
    MIN_CATEGORY_COUNT,
    CategoricalProfile,
    NumericProfile,
    Profile,
)

if TYPE_CHECKING:
    import numpy as np
else:
    np = deferred("numpy")


_ADDED_SINGLY = 1 << 20


def profiled(column: Column) -> bool:
    """Whether a column has a profile: single numbers, texts and booleans do."""
    return not column.depth and column.kind in {Kind.WHOLE, Kind.NUMBER, Kind.TEXT, Kind.BOOLEAN}


def build_engine_profile(engine: Engine, names: Sequence[str]) -> Profile:
    """Choose bins from what the engine holds (the reference) and count it into them; columns without a profile are left out.

    Raises InvalidInput for a column that is not there.
    """
    columns = [column for column in _chosen(engine, names) if profiled(column)]
    numeric = [column for column in columns if column.kind is not Kind.TEXT and column.kind is not Kind.BOOLEAN]
    texts = [column for column in columns if column not in numeric]
    edges = dict(zip(numeric, _edges(engine, numeric), strict=True))
    rows = _rows(engine)
    categories = dict(zip(texts, _categories(engine, texts, rows), strict=True))
    features = tuple(edges.get(column) or categories[column] for column in columns)
    return count_on_engine(engine, Profile(rows=0, features=features))


def count_on_engine(engine: Engine, profile: Profile) -> Profile:
    """What the engine holds, counted into the profile's bins; the profile's own counts do not matter.

    Raises InvalidInput for a column that is absent or has become another kind of thing.
    """
    columns = _chosen(engine, [feature.name for feature in profile.features])
    for column, feature in zip(columns, profile.features, strict=True):
        expected = "numeric" if isinstance(feature, NumericProfile) else "categorical"
        is_numeric = column.kind in {Kind.WHOLE, Kind.NUMBER}
        if not profiled(column) or is_numeric != (expected == "numeric"):
            raise InvalidInput(
                f"Column {feature.name!r} is {column.native or column.kind.value}, but its profile is {expected}."
            )
    rows = _rows(engine)
    pairs = list(zip(columns, profile.features, strict=True))
    counts = _count_numbers(engine, [(c, f) for c, f in pairs if isinstance(f, NumericProfile)], rows)
    counts |= _count_texts(engine, [(c, f) for c, f in pairs if isinstance(f, CategoricalProfile)], rows)
    return Profile(rows, tuple(replace(feature, counts=counts[feature.name]) for feature in profile.features))


def _chosen(engine: Engine, names: Sequence[str]) -> list[Column]:
    there = {column.name: column for column in engine.columns()}
    for name in names:
        if name not in there:
            raise InvalidInput.choice("Column", name, there)
    return [there[name] for name in names]


def _rows(engine: Engine) -> int:
    return int(ask(engine, plan.Presence(()))[0][0])


def _edges(engine: Engine, columns: Sequence[Column]) -> list[NumericProfile]:
    wanted = []
    for column, totals in zip(columns, totals_of(engine, columns), strict=True):
        count = int(totals["finite"])
        ranks = [(i * count + MAX_BINS - 1) // MAX_BINS - 1 for i in range(1, MAX_BINS + 1)] if count else []
        wanted.append(Wanted(column, totals["least"], totals["most"], count, ranks))
    climb(engine, wanted)
    return [NumericProfile(name=one.column.name, edges=_edges_of(one), counts=()) for one in wanted]


def _edges_of(one: Wanted) -> tuple[float, ...]:
    if not one.count:
        return ()
    values, counts = one.counted()
    at_ranks = values[np.searchsorted(np.cumsum(counts), np.asarray(one.ranks), side="right")]
    with np.errstate(over="ignore"):  # below the least of floats is minus infinity, which is no edge
        below = np.nextafter(values[0], -np.inf)
    edges = np.unique(np.concatenate(([below], at_ranks)) + 0.0)
    return tuple(edges[np.isfinite(edges)].tolist())


def _categories(engine: Engine, columns: Sequence[Column], rows: int) -> list[CategoricalProfile]:
    repeats: list[dict[int, int]] = [{} for _ in columns]
    for start, found in in_parts(engine, columns, plan.Repeats):
        for place, count, different in found:
            repeats[start + int(place)][int(count)] = int(different)
    ranked: list[list[tuple[str, int]]] = [[] for _ in columns]
    most = MAX_CATEGORIES + MAX_KNOWN_RARE
    rankings = [plan.Ranking(column, most, earlier=True) for column in columns]
    for start, found in in_parts(engine, rankings, plan.Top):
        for place, text, count in found:
            ranked[start + int(place)].append((str(text), int(count)))
    return [_category(*one, rows) for one in zip(columns, repeats, ranked, strict=True)]


def _category(column: Column, repeats: dict[int, int], ranked: list[tuple[str, int]], rows: int) -> CategoricalProfile:
    ranked.sort(key=lambda pair: (-pair[1], pair[0]))
    kept = [(text, count) for text, count in ranked if count >= MIN_CATEGORY_COUNT][:MAX_CATEGORIES]
    rest = dict(repeats)
    for _, count in kept:
        rest[count] -= 1
    closed = sum(rest.values()) <= MAX_KNOWN_RARE
    return CategoricalProfile(
        name=column.name,
        categories=tuple(text for text, _ in kept),
        rare=tuple(text for text, _ in ranked[len(kept) :]) if closed else (),
        closed=closed,
        distinct=sum(repeats.values()),
        spread=_spread(rest, rows),
        unseen=repeats.get(1, 0) / max(1, rows),
        counts=(),
    )


def _spread(repeats: dict[int, int], rows: int) -> float:
    """Σ √p(1-p) over values; of not too many in the order in which `build_profile` adds them up, so to the last bit."""
    counts, different = (np.array(each, dtype=np.int64) for each in (list(repeats), list(repeats.values())))
    shares = counts / max(1, rows)
    deviations = np.sqrt(shares * (1 - shares))
    if different.sum() > _ADDED_SINGLY:
        return float(np.dot(deviations, different))
    return float(np.sort(np.repeat(deviations, different)).sum())


def _count_numbers(
    engine: Engine, pairs: Sequence[tuple[Column, NumericProfile]], rows: int
) -> dict[str, tuple[int, ...]]:
    found = {feature.name: [0] * (len(feature.edges) + 1) for _, feature in pairs}
    asked = [plan.Binned(column, feature.edges, upper=True) for column, feature in pairs]
    for start, answers in in_parts(engine, asked, plan.Bins):
        for place, cell, count, *_ in answers:
            found[pairs[start + int(place)][1].name][int(cell)] = int(count)
    return {name: (rows - sum(counts), *counts) for name, counts in found.items()}


def _count_texts(
    engine: Engine, pairs: Sequence[tuple[Column, CategoricalProfile]], rows: int
) -> dict[str, tuple[int, ...]]:
    present = {}
    for start, answers in in_parts(engine, [column for column, _ in pairs], plan.Presence):
        for place, count in enumerate(answers[0][1:]):
            present[pairs[start + place][1].name] = int(count or 0)
    listed = [(column, feature) for column, feature in pairs if feature.categories or feature.rare]
    asked = [plan.Known(column, (*feature.categories, *feature.rare)) for column, feature in listed]
    seen: dict[str, dict[str, int]] = {feature.name: {} for _, feature in pairs}
    for start, answers in in_parts(engine, asked, plan.Among):
        for place, text, count in answers:
            seen[listed[start + int(place)][1].name][str(text)] = int(count)
    return {feature.name: _cells(feature, seen[feature.name], present[feature.name], rows) for _, feature in pairs}


def _cells(feature: CategoricalProfile, seen: dict[str, int], present: int, rows: int) -> tuple[int, ...]:
    known = [seen.get(text, 0) for text in feature.categories]
    rare = sum(seen.get(text, 0) for text in feature.rare)
    strange = present - sum(known) - rare
    other, unseen = (rare, strange) if feature.closed else (strange, 0)
    return (*known, other, unseen, rows - present)
