"""The nodes of derived features: for each kind, what `derived.py` says of it, as a graph."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from bailiwick.features.columns import TEXTS
from bailiwick.features.derived import (
    CYCLES,
    DAY_MS,
    FIRST_MOMENT,
    LAST_MOMENT,
    MOST_TOKENS,
    Age,
    Computed,
    Cross,
    DateParts,
    Derived,
    Hashed,
    Missing,
    Ngrams,
    Pipelined,
    Target,
    TextSize,
)
from bailiwick.features.expression import read_expression
from bailiwick.features.expression_nodes import compute
from bailiwick.features.model import LIMIT
from bailiwick.features.nodes import ML, RUNTIME, TEXTLESS_OPSET, Nodes


def derive(graph: Nodes, feature: Derived) -> str:
    """Add the nodes of a feature; returns its tensor, float32 [rows, columns]."""
    return _MAKERS[type(feature)](graph, feature)


def _missing(graph: Nodes, feature: Missing) -> str:
    if feature.datatype == TEXTS:
        return graph.encode(feature.source, [""], [1.0], 0.0, text=True)
    return graph.floats(graph.make("IsNaN", graph.number(feature.source)))


def _key(graph: Nodes, column: str, datatype: str) -> str:
    return column if datatype == TEXTS else graph.number(column)


def _moment(graph: Nodes, column: str) -> tuple[str, str]:
    """Whether the moment is one of years 1 to 9999, and its milliseconds, 0 where it is not."""
    ends = (graph.fixed(FIRST_MOMENT, np.float64), graph.fixed(LAST_MOMENT, np.float64))
    known = graph.make("Equal", graph.make("Clip", column, *ends), column)  # no number equals nothing
    kept = graph.make("Where", known, column, graph.fixed([0], np.float64))
    return known, graph.make("Floor", kept)


_MARCH = date(2023, 3, 1)  # a leap day ends the year that begins here
_DAYS = [_MARCH + timedelta(days=number) for number in range(366)]
_FROM_MARCH = {
    "month": [day.month for day in _DAYS],
    "day": [day.day for day in _DAYS],
    "later": [day.year - _MARCH.year for day in _DAYS],
}
"""By the day from 1 March (0) to 29 February (365); `later` is how many years later the year is than that of its March."""


class _Date:
    """Parts of a moment, by the calendar that Howard Hinnant's `civil_from_days` counts in: years begin on 1 March, so that
    the leap day is the last of its year, and the leap days that full centuries lack are put in, so that all years are alike.

    Whole numbers are kept in doubles, whose quotients ONNX Runtime computes several at once: the floor of a quotient is
    exact, since none comes nearer to the next whole number than 1e-8 and all are below 1e10.
    """

    def __init__(self, graph: Nodes, source: str) -> None:
        self._graph = graph
        self.known, milliseconds = _moment(graph, source)
        self._days = self._over(milliseconds, DAY_MS)
        self._in_day = self._make("Sub", milliseconds, self._times(self._days, DAY_MS))
        self._made: dict[str, str] = {}

    def part(self, name: str) -> str:
        """Whole numbers in a tensor of doubles."""
        if name in _FROM_MARCH:
            return self._once(name, lambda: self._looked_up(name))
        if name == "year":
            return self._once(name, lambda: self._make("Add", self._march_year(), self._looked_up("later")))
        return self._once(name, self._day_of_year if name == "day_of_year" else lambda: self._clock(name))

    def _once(self, name: str, make: Callable[[], str]) -> str:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def _clock(self, name: str) -> str:
        if name == "weekday":
            return self._mod(self._plus(self._days, 3), 7)
        if name == "hour":
            return self._over(self._in_day, 3_600_000)
        minutes = self._over(self._in_day, 60_000)
        return minutes if name == "minute_of_day" else self._mod(minutes, 60)

    def _alike(self) -> str:
        """Days since 1 March of year 0, as many as there would be if each fourth year had a leap day."""
        shifted = self._plus(self._days, 719_468)
        century = self._floor("Div", self._plus(shifted, 0.75), 36_524.25)
        lacking = self._make("Sub", century, self._floor("Mul", century, 0.25))
        return self._make("Add", shifted, lacking)

    def _march_year(self) -> str:
        alike = self._once("alike", self._alike)
        return self._once("march year", lambda: self._floor("Div", self._plus(alike, 0.75), 365.25))

    def _from_march(self) -> str:
        whole = self._floor("Mul", self._march_year(), 365.25)
        return self._make("Sub", self._once("alike", self._alike), whole)

    def _looked_up(self, name: str) -> str:
        from_march = self._once("from march", self._from_march)
        place = self._once("place", lambda: self._make("Cast", from_march, to=TensorProto.INT64))
        return self._make("Gather", self._graph.fixed(_FROM_MARCH[name], np.float64), place)

    def _day_of_year(self) -> str:
        from_march = self._once("from march", self._from_march)
        since_march = self._make("Add", self._plus(from_march, 60), self._leap(self._march_year()))
        new_year = self._make("GreaterOrEqual", from_march, self._fixed(306))
        return self._make("Where", new_year, self._plus(from_march, -305), since_march)

    def _leap(self, year: str) -> str:
        fourth, hundredth, four_hundredth = (
            self._make("Equal", self._mod(year, each), self._fixed(0)) for each in (4, 100, 400)
        )
        leap = self._make("Or", self._make("And", fourth, self._make("Not", hundredth)), four_hundredth)
        return self._make("Cast", leap, to=TensorProto.DOUBLE)

    def _make(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self._graph.make(kind, *inputs, **attributes)

    def _floor(self, kind: str, tensor: str, value: float) -> str:
        return self._make("Floor", self._make(kind, tensor, self._fixed(value)))

    def _fixed(self, value: float) -> str:
        return self._graph.fixed([value], np.float64)

    def _over(self, tensor: str, value: int) -> str:
        return self._floor("Div", tensor, value)

    def _mod(self, tensor: str, value: int) -> str:
        return self._make("Sub", tensor, self._times(self._over(tensor, value), value))

    def _plus(self, tensor: str, value: float) -> str:
        return self._make("Add", tensor, self._fixed(value))

    def _times(self, tensor: str, value: int) -> str:
        return self._make("Mul", tensor, self._fixed(value))


def _date(graph: Nodes, feature: DateParts) -> str:
    made = _Date(graph, feature.source)
    parts, filled = [], []
    for part in feature.parts:
        plain = part.removesuffix("_cyclic")
        number = made.part(plain)
        if plain == part:
            parts.append(graph.floats(number))
            filled.append(-1.0)
        else:
            table = graph.fixed(circle(plain), np.float32)
            places = graph.make("Cast", number, to=TensorProto.INT64)
            parts.append(graph.make("Gather", table, graph.make("Squeeze", places, graph.fixed([1], np.int64)), axis=0))
            filled += [0.0, 0.0]
    joined = parts[0] if len(parts) == 1 else graph.make("Concat", *parts, axis=1)
    return graph.make("Where", made.known, joined, graph.fixed([filled], np.float32))


def circle(part: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Sine and cosine by value of a cyclic part: [values, 2]. Parts that begin with 1 leave place 0 unused."""
    begins = 1 if part in {"month", "day_of_year"} else 0
    angles = 2 * np.pi * (np.arange(CYCLES[part] + begins) - begins) / CYCLES[part]
    return np.stack([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def _age(graph: Nodes, feature: Age) -> str:
    (first_known, first), (last_known, last) = (_moment(graph, each) for each in (feature.source, feature.until))
    days = graph.floats(graph.make("Div", graph.make("Sub", last, first), graph.fixed([DAY_MS], np.float64)))
    known = graph.make("And", first_known, last_known)
    return graph.make("Where", known, days, graph.fixed([feature.fill], np.float32))


def _bucket(graph: Nodes, texts: str, buckets: int) -> str:
    """int64; hashes are unsigned, so that the remainder is never negative."""
    graph.needs_runtime = True
    hashes = graph.make("MurmurHash3", texts, domain=RUNTIME, seed=0, positive=1)
    graph.declare(hashes, TensorProto.UINT32, [None, None])
    wide = graph.make("Cast", hashes, to=TensorProto.INT64)
    return graph.make("Mod", wide, graph.fixed([[buckets]], np.int64))


def _hashed(graph: Nodes, feature: Hashed) -> str:
    codes = graph.floats(_bucket(graph, feature.source, feature.buckets))
    return graph.one_hot(codes, feature.buckets) if feature.one_hot else codes


def _target(graph: Nodes, feature: Target) -> str:
    text = feature.datatype == TEXTS
    key = _key(graph, feature.source, feature.datatype)
    return graph.encode(key, list(feature.categories), list(feature.values), feature.prior, text=text)


def _cross(graph: Nodes, feature: Cross) -> str:
    """Codes of both, joined to one whole number, encoded again."""
    known = [list(dict.fromkeys(pair[side] for pair in feature.pairs)) for side in (0, 1)]
    codes = []
    for keys, (source, datatype) in zip(known, feature.inputs, strict=True):
        places = [float(place) for place in range(1, len(keys) + 1)]
        found = graph.encode(_key(graph, source, datatype), keys, places, 0.0, text=datatype == TEXTS)
        codes.append(graph.make("Cast", found, to=TensorProto.INT64))
    width = len(known[1]) + 1
    place = [{key: at for at, key in enumerate(keys, 1)} for keys in known]
    joined = graph.make("Add", graph.make("Mul", codes[0], graph.fixed([[width]], np.int64)), codes[1])
    pairs = [place[0][first] * width + place[1][second] for first, second in feature.pairs] or [0]
    values = [float(code) for code in range(1, len(feature.pairs) + 1)] or [0.0]
    code = graph.make("LabelEncoder", joined, domain=ML, keys_int64s=pairs, values_floats=values, default_float=0.0)
    return graph.one_hot(code, len(feature.pairs) + 1) if feature.one_hot else code


def _text_size(graph: Nodes, feature: TextSize) -> str:
    parts = [
        _length(graph, feature.source) if part == "length" else _tokens(graph, feature.source)[1]
        for part in feature.parts
    ]
    return parts[0] if len(parts) == 1 else graph.make("Concat", *parts, axis=1)


def _length(graph: Nodes, source: str) -> str:
    """Row by row: cut together, all texts would be filled up to the letters of the longest, whoever sent it."""
    graph.needs_runtime = True
    name = f"features/letters{len(graph.nodes)}"
    place, going, still, size = (f"{name}/{part}" for part in ("place", "going", "still", "size"))
    nodes = [
        helper.make_node("Identity", [going], [still]),
        helper.make_node("Gather", [source, place], [f"{name}/text"], axis=0),
        helper.make_node(
            "Tokenizer",
            [f"{name}/text"],
            [f"{name}/cut"],
            domain=RUNTIME,
            separators=[""],
            mark=0,
            mincharnum=1,
            pad_value="",
        ),
        helper.make_node("Shape", [f"{name}/cut"], [f"{name}/shape"]),
        helper.make_node("Gather", [f"{name}/shape", graph.fixed([1], np.int64)], [size], axis=0),
    ]
    told = helper.make_tensor_value_info
    body = helper.make_graph(
        nodes,
        name,
        [told(place, TensorProto.INT64, []), told(going, TensorProto.BOOL, [])],
        [told(still, TensorProto.BOOL, []), told(size, TensorProto.INT64, [1])],
        value_info=[told(f"{name}/cut", TensorProto.STRING, [1, None])],
    )
    rows = graph.make("Gather", graph.make("Shape", source), graph.fixed(0, np.int64), axis=0)
    return graph.floats(graph.make("Loop", rows, "", body=body))


def _tokens(graph: Nodes, source: str) -> tuple[str, str]:
    """The first tokens [rows, most] filled up with empty texts, and their count as float32 [rows, 1].

    Not more than `MOST_TOKENS`, for one long text fills up all that are cut together with it.
    """
    graph.needs_texts = True
    tokens, count = f"features/tokens{len(graph.nodes)}", f"features/count{len(graph.nodes)}"
    name = f"features/StringSplit{len(graph.nodes)}"
    graph.nodes.append(helper.make_node("StringSplit", [source], [tokens, count], name=name, maxsplit=MOST_TOKENS))
    flat = graph.make("Squeeze", tokens, graph.fixed([1], np.int64))
    first, last, axis = (graph.fixed([value], np.int64) for value in (0, MOST_TOKENS, 1))
    seen = graph.make("Slice", flat, first, last, axis)
    return seen, graph.make("Min", graph.floats(count), graph.fixed([MOST_TOKENS], np.float32))


def _ngrams(graph: Nodes, feature: Ngrams) -> str:
    tokens, _ = _tokens(graph, feature.source)
    if feature.buckets:
        return _hashed_tokens(graph, tokens, feature.buckets)
    grams = sorted(enumerate(feature.grams), key=lambda each: each[1].count(" "))
    sizes = [gram.count(" ") + 1 for _, gram in grams]
    starts: list[int] = []
    pool: list[str] = []
    for size in range(1, max(sizes) + 1):
        starts.append(len(pool))
        for gram in (gram for _, gram in grams if gram.count(" ") + 1 == size):
            pool.extend(gram.split(" "))
    return graph.make(
        "TfIdfVectorizer",
        tokens,
        mode="TF",
        min_gram_length=1,
        max_gram_length=max(sizes),
        max_skip_count=0,
        ngram_counts=starts,
        ngram_indexes=[place for place, _ in grams],
        pool_strings=pool,
    )


def _hashed_tokens(graph: Nodes, tokens: str, buckets: int) -> str:
    """Each token adds one to its bucket; filling adds nothing."""
    places = _bucket(graph, tokens, buckets)
    ones = graph.encode(tokens, [""], [0.0], 1.0, text=True)
    rows = graph.make("Gather", graph.make("Shape", tokens), graph.fixed([0], np.int64), axis=0)
    shape = graph.make("Concat", rows, graph.fixed([buckets], np.int64), axis=0)
    zeros = graph.make("Expand", graph.fixed([0], np.float32), shape)
    return graph.make("ScatterElements", zeros, places, ones, axis=1, reduction="add")


def _computed(graph: Nodes, feature: Computed) -> str:
    value = compute(graph, read_expression(feature.expression).root)
    fill = graph.fixed([feature.fill], np.float32)
    known = graph.make("Where", graph.make("IsNaN", value), fill, value)
    ends = (graph.fixed(-LIMIT, np.float32), graph.fixed(LIMIT, np.float32))
    return graph.make("Clip", known, *ends)


def _give(graph: Nodes, column: str, datatype: str, name: str) -> None:
    """A column under another name; numbers bounded, and not known where they are not."""
    if datatype == TEXTS:
        graph.node("Identity", [column], name)
        return
    number = graph.number(column)
    bounded = graph.make("Clip", number, graph.fixed(-LIMIT, np.float32), graph.fixed(LIMIT, np.float32))
    graph.node("Where", [graph.make("IsNaN", number), number, bounded], name)


def _pipelined(graph: Nodes, feature: Pipelined) -> str:
    """The graph of a converter, its tensors renamed, fed by the columns that it names."""
    prefix = f"features/{feature.column}/"
    model = onnx.compose.add_prefix(onnx.load_from_string(feature.graph), prefix)
    graph.needs_texts |= max(each.version for each in model.opset_import if not each.domain) > TEXTLESS_OPSET
    given = {each.name for each in model.graph.input}
    for column, datatype in feature.reads:
        if prefix + column in given:
            _give(graph, column, datatype, prefix + column)
    graph.nodes.extend(model.graph.node)
    graph.constants.extend(model.graph.initializer)
    output = model.graph.output[0]
    if output.type.tensor_type.elem_type == TensorProto.FLOAT:
        return str(output.name)
    return graph.floats(output.name)


_MAKERS: dict[type[Any], Callable[[Nodes, Any], str]] = {
    Missing: _missing,
    DateParts: _date,
    Age: _age,
    Hashed: _hashed,
    Target: _target,
    Cross: _cross,
    TextSize: _text_size,
    Ngrams: _ngrams,
    Computed: _computed,
    Pipelined: _pipelined,
}
