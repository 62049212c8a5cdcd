"""Write `tests/golden/tfdv/rules.json` from TFDV's tests of single rules: one feature, its statistics, what comes out.

    python tools/tfdv_rules.py GIT_DIRECTORY

The directory is a clone of github.com/tensorflow/data-validation. These tests are tables in C++ (a brace a row), or short
tests of one message before and one after. As in `tools/tfdv_cases.py` only facts are kept; what is not understood is said.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "tfdv" / "rules.json"
_FOLDER = "tensorflow_data_validation/anomalies"
_FILES = ("feature_util", "string_domain", "int_domain", "float_domain", "bool_domain", "image_domain",
          "dataset_constraints_util")  # fmt: skip
_MESSAGE = re.compile(r'ParseTextProtoOrDie<[\w:]*?(\w+)>\(\s*(?:@(\d+)@|"([^"]*)")\s*\)')

Case = dict[str, Any]
Row = list[Any]


def main() -> None:
    """Write the file."""
    repository = sys.argv[1]
    commit = _git(repository, "rev-parse", "HEAD").strip()
    cases: list[Case] = []
    for name in _FILES:
        source = _git(repository, "show", f"HEAD:{_FOLDER}/{name}_test.cc")
        found = [*_cases(_Masked(source))]
        print(f"{name}: {len(found)} cases")
        cases += [
            {"id": f"{len(cases) + number:03}-{name}-{case['test']}", **case} for number, case in enumerate(found)
        ]
    origin = {"repository": "github.com/tensorflow/data-validation", "path": f"{_FOLDER}/…_domain_test.cc, …_util_test.cc",
              "commit": commit}  # fmt: skip
    text = json.dumps({"source": origin, "cases": cases}, indent=1, ensure_ascii=False)
    GOLDEN.write_text(text + "\n", encoding="utf-8")


def _git(repository: str, *arguments: str) -> str:
    return subprocess.run(["git", "-C", repository, *arguments], check=True, capture_output=True, text=True).stdout


def _normal(kind: str, text: str) -> str:
    message = getattr(schema_pb2, kind, None) or getattr(statistics_pb2, kind)
    return str(text_format.MessageToString(text_format.Parse(text, message()), as_one_line=True))


class _Masked:
    """A source whose raw strings are numbered and whose comments are gone."""

    def __init__(self, source: str) -> None:
        self.raw: list[str] = []
        body = re.sub(r'R"(\w*)\((.*?)\)\1"', self._keep, source, flags=re.DOTALL)
        self.body = re.sub(r"/\*.*?\*/", "", re.sub(r"//[^\n]*", "", body), flags=re.DOTALL)

    def _keep(self, match: re.Match[str]) -> str:
        self.raw.append(match.group(2))
        return f"@{len(self.raw) - 1}@"

    def message(self, match: re.Match[str]) -> tuple[str, str]:
        """Kind and text of a message."""
        return match.group(1), self.raw[int(match.group(2))] if match.group(2) else match.group(3)

    def messages(self, text: str) -> list[tuple[str, str]]:
        """All of a stretch of source, in order."""
        return [self.message(match) for match in _MESSAGE.finditer(text)]

    def blocks(self) -> Iterator[tuple[str, str]]:
        """Each test, and each function that a test takes its table from, with its name."""
        starts = [*re.finditer(r"\nTEST(?:_F)?\(\s*\w+,\s*(\w+)\)|\n(?:const )?std::vector<\w+>\s+Get(\w+?)(?:s|Cases)\(\)",
                               self.body)]  # fmt: skip
        for start, end in zip(starts, [*starts[1:], None], strict=True):
            text = self.body[start.end() : end.start() if end else len(self.body)]
            yield start.group(1) or start.group(2), text

    def rows(self, text: str) -> Iterator[Row]:
        """Rows of a table: groups in braces that hold statistics themselves, not within another group."""
        open_at: list[int] = []
        for place, character in enumerate(text):
            if character == "{":
                open_at.append(place)
            elif character == "}" and open_at:
                inner = text[open_at.pop() + 1 : place]
                fields = [self._field(field) for field in _split(inner)]
                if any(isinstance(field, tuple) and field[0] == "FeatureNameStatistics" for field in fields):
                    yield fields

    def _field(self, text: str) -> Any:
        found = _MESSAGE.fullmatch(text)
        if found:
            return self.message(found)
        empty = re.fullmatch(r"(\w+)\(\)", text)
        if empty:
            return empty.group(1), ""
        if text.startswith("{"):
            return re.findall(r'"([^"]*)"', text) or re.findall(r"AnomalyInfo::(\w+)", text)
        if text in {"true", "false"}:
            return text == "true"
        anomaly = re.fullmatch(r"AnomalyInfo::(\w+)", text)
        return [anomaly.group(1)] if anomaly else text.strip('"')


def _split(text: str) -> list[str]:
    parts, depth, quoted, start = [], 0, False, 0
    for place, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif not quoted and character in "({":
            depth += 1
        elif not quoted and character in ")}":
            depth -= 1
        elif character == "," and not depth and not quoted:
            parts.append(text[start:place].strip())
            start = place + 1
    return [part for part in [*parts, text[start:].strip()] if part]


# From rows and tests to cases: `before` and `after` are the feature; `kinds` None is "some anomaly". ----------------------


def _cases(source: _Masked) -> Iterator[Case]:
    for name, text in source.blocks():
        found = [*_of_table(name, source.rows(text))] or [*_of_test(name, text, source)]
        if not found and "ParseTextProtoOrDie" in text:
            print(f"not understood: {name}")
        yield from found


def _case(test: str, rule: str, statistics: str, before: str, after: str | None, kinds: list[str] | None) -> Case:
    return {
        "test": test,
        "rule": rule,
        "statistics": _normal("FeatureNameStatistics", statistics),
        "before": _normal("Feature", before),
        "after": None if after is None else _normal("Feature", after),
        "kinds": kinds,
    }


def _of_table(name: str, rows: Iterator[Row]) -> Iterator[Case]:
    for row in rows:
        statistics = next(field[1] for field in row if isinstance(field, tuple) and field[0] == "FeatureNameStatistics")
        title = f"{name}:{row[0]}" if isinstance(row[0], str) else name
        others = [field[1] for field in row if isinstance(field, tuple) and field[0] != "FeatureNameStatistics"]
        flags = [field for field in row if isinstance(field, bool)]
        if name in {"IsCandidate", "ConstructFromFeatureNameStatistics", "BoolTypeFeatureNameStatistics"}:
            wanted = {"candidate": flags[0]} if name == "IsCandidate" else {"after": others[0], "flags": flags}
            yield {"test": title, "rule": "infer", "statistics": _normal("FeatureNameStatistics", statistics), **wanted}
        elif name in {"IsValid", "IsValidWithMassConstraint", "Update", "UpdateFloatDomainTest"} and name in title:
            yield from _of_domain(name, title, statistics, row, others, flags)
        elif name in _RULES:
            rule, form = _RULES[name]
            kinds = next((field for field in row if isinstance(field, list) and field), None)
            before, after = (form.format(text) for text in others[:2])
            yield _case(title, rule, statistics, before, after, [] if flags[0] else kinds)


_RULES = {
    "UpdateFeatureValueCountsTest": ("valency", "{}"),
    "UpdatePresenceTest": ("presence", "presence {{ {} }}"),
    "UpdateShapeTest": ("shape", "{}"),
}


def _of_domain(
    name: str, title: str, statistics: str, row: Row, others: list[str], flags: list[bool]
) -> Iterator[Case]:
    kinds_of = {field[0] for field in row if isinstance(field, tuple)}
    if "FloatDomain" in kinds_of:
        before, after = (f"float_domain {{ {text} }}" for text in others)
        yield _case(title, "float", statistics, before, after, [] if before == after else None)
    elif "IntDomain" in kinds_of:
        kinds = next((field for field in row if isinstance(field, list)), [])
        before, after = (f"int_domain {{ {text} }}" for text in others)
        yield _case(title, "int", statistics, before, "" if flags[0] else after, kinds)
    elif "BoolDomain" in kinds_of:
        before = f"bool_domain {{ {others[0]} }}"
        yield _case(title, "bool", statistics, before, before if flags[0] else None, [] if flags[0] else None)
    elif "Feature" in kinds_of:
        yield _case(title, "bool", statistics, others[0], others[1], [] if others[0] == others[1] else None)
    else:
        values = row[1] if isinstance(row[1], list) else ["a", "b"]
        allowed = 0.8 if name == "IsValidWithMassConstraint" else 1.0
        mass = f" distribution_constraints {{ min_domain_mass: {allowed} }}"
        before = "string_domain { " + " ".join(f'value: "{value}"' for value in values) + " }" + mass
        if others:
            after = "string_domain { " + re.sub(r'name: "[^"]*"', "", others[0]) + " }" + mass
            found = [] if row[-1] == "0" else None
            yield _case(title, "strings", statistics, before, mass if flags[0] else after, found)
        else:
            yield _case(title, "strings", statistics, before, before if flags[0] else None, [] if flags[0] else None)


def _of_test(name: str, text: str, source: _Masked) -> Iterator[Case]:
    messages = source.messages(text)
    by_kind: dict[str, list[str]] = {}
    for kind, raw in messages:
        by_kind.setdefault(kind, []).append(raw)
    kinds = re.findall(r"AnomalyInfo::([A-Z_]+)", text)
    if "UpdateImageDomain" in text:
        before = f"image_domain {{ {by_kind['ImageDomain'][0]} }}"
        valid = "descriptions.empty(), true" in text
        yield _case(name, "image", by_kind["FeatureNameStatistics"][0], before, before if valid else None, kinds)
    elif "UpdateUniqueConstraints" in text:
        dataset = text_format.Parse(by_kind["DatasetFeatureStatistics"][0], statistics_pb2.DatasetFeatureStatistics())
        for stats in dataset.features:
            features = [raw for raw in by_kind["Feature"] if f'"{stats.name}"' in raw]
            found = None if len(features) == 2 else []
            yield _case(name, "unique", str(stats), features[0], features[-1], found)
    elif re.search(r"UpdateNumExamplesComparatorDirect|UpdateExamplesCount", text):
        yield from _of_examples(name, text, by_kind)
    elif "UpdatePresence(" in text and "DatasetFeatureStatistics" in by_kind:
        dataset = text_format.Parse(by_kind["DatasetFeatureStatistics"][0], statistics_pb2.DatasetFeatureStatistics())
        valid = "descriptions.empty()" in text or "TRUE(description_b.empty())" in text
        before = by_kind["Feature"][0]
        case = _case(
            name, "presence", str(dataset.features[0]), before, before if valid else None, [] if valid else None
        )
        yield {**case, "examples": dataset.num_examples}


def _of_examples(name: str, text: str, by_kind: dict[str, list[str]]) -> Iterator[Case]:
    field = "num_examples_drift_comparator" if "::DRIFT" in text else "num_examples_version_comparator"
    rules = by_kind.get("NumericValueComparator")
    wrapped = [f"{field} {{ {rule} }}" for rule in rules] if rules else by_kind["DatasetConstraints"]
    datasets = [_normal("DatasetFeatureStatistics", raw) for raw in by_kind["DatasetFeatureStatistics"]]
    yield {
        "test": name,
        "rule": "examples",
        "current": datasets[-1],
        "control": datasets[0] if len(datasets) == 2 else None,
        "by_weight": "by_weight=*/true" in text or "weighted_num_examples" in by_kind["DatasetFeatureStatistics"][-1],
        "before": _normal("DatasetConstraints", wrapped[0]),
        "after": _normal("DatasetConstraints", wrapped[-1]) if "EXPECT_THAT" in text else None,
    }


if __name__ == "__main__":
    main()
