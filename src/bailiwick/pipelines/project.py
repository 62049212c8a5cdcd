"""The project file `bailiwick.yaml`: the whole description of one model's life, from data to retraining.

`load_project` reads and checks it all at once; times are milliseconds and shares are fractions from there on. What a
transform, a metric or a gate means is known to `features` and `evaluation`; here they are only checked for form.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, ValidationError

from bailiwick.core.canonical import digest_of
from bailiwick.core.errors import InvalidInput, NotFound, Unavailable
from bailiwick.pipelines.notation import holdout_text
from bailiwick.pipelines.project_errors import complain, to_problems
from bailiwick.pipelines.sections import (
    Data,
    Evaluate,
    Govern,
    MadeModel,
    Monitor,
    Name,
    Reading,
    Retrain,
    Section,
    Train,
    Transform,
)
from bailiwick.pipelines.serving_sections import Deploy
from bailiwick.pipelines.yaml_document import MAX_BYTES, Document, Problem, read_document

FILE_NAME = "bailiwick.yaml"


class Project(Section):
    """A checked project file. `folder` is where it lies: sources, schema and entry point are looked for there."""

    project: Name
    data: Data
    features: dict[str, Transform] = Field(min_length=1)
    train: Train
    evaluate: Evaluate = Evaluate()
    deploy: Deploy = Field(default_factory=lambda given: Deploy(endpoint=given.get("project", "-")))
    monitor: Monitor = Monitor()
    retrain: Retrain | None = None
    govern: Govern = Govern()
    models: dict[Name, MadeModel] | None = Field(
        default=None,
        description="Models of rules, and compositions, beside the project's own",
        examples=[{"late-rules": {"rules": "late.json"}, "late-both": {"compose": "both.yaml"}}],
    )

    _folder: Path = PrivateAttr(default_factory=Path)

    @property
    def name(self) -> str:
        """The project's name, which is also its model's."""
        return self.project

    @property
    def folder(self) -> Path:
        """Folder of the project file."""
        return self._folder

    def document(self) -> dict[str, Any]:
        """The project as JSON, with every default written out; `parse_project` reads it back."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @property
    def digest(self) -> str:
        """SHA-256 of `document`: equal exactly when two files mean the same."""
        return digest_of(self.document())


def load_project(path: Path | str) -> Project:
    """Read a project file, or the one in a folder. Raises NotFound, and InvalidInput that lists everything wrong by line."""
    file = Path(path)
    file = file / FILE_NAME if file.is_dir() else file
    try:
        size = file.stat().st_size
        data = file.read_bytes() if size <= MAX_BYTES else b" " * (MAX_BYTES + 1)
        text = data.decode()
    except FileNotFoundError:
        raise NotFound(
            f"Project file {file} does not exist.", hint=f"Run where {FILE_NAME} lies, or `bailiwick init DIR` first."
        ) from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}.") from None
    except OSError as error:
        raise Unavailable(f"Project file {file} cannot be read: {error.strerror}.") from error
    return parse_project(text, name=str(file), folder=file.resolve().parent)


def parse_project(text: str, *, name: str = FILE_NAME, folder: Path | None = None) -> Project:
    """A project from YAML (or JSON) text; `name` is what errors call it. Raises InvalidInput, LimitExceeded."""
    try:
        document = read_document(text)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error.message}", hint=error.hint) from None
    if not isinstance(document.value, dict):
        raise InvalidInput(f"{name} must be a mapping that begins with `project:`.")
    problems = document.problems + _contradictions(document)
    try:
        project = Project.model_validate_json(json.dumps(document.value))  # JSON, for strict tuples take no Python list
    except ValidationError as error:
        raise complain(name, problems + to_problems(error, document, Project)) from None
    if problems:
        raise complain(name, problems)
    project._folder = folder or Path()  # noqa: SLF001 - our own model; pydantic has no constructor for private values
    return project


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the project file, for editors."""
    schema = Project.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "bailiwick.yaml"}


def _contradictions(document: Document) -> list[Problem]:
    """What is wrong between values that are each well-formed; looks at the raw values, so that nothing waits its turn."""
    found = []
    features = _at(document.value, "features")
    for what, path in (("label", ("data", "label", "column")), ("key", ("data", "key"))):
        column = _at(document.value, *path)
        if isinstance(features, dict) and isinstance(column, str) and column in features:
            message = f"column {column!r} is the {what}, so it cannot be a feature. Remove it."
            found.append(Problem(document.line(("features", column)), f"features.{column}", message))
    found.extend(_split_problems(document))
    found.extend(_engine_problems(document))
    ramp = _at(document.value, *_RAMP)
    numbers = isinstance(ramp, list) and ramp and all(type(share) in {int, float} for share in ramp)
    if numbers and (ramp != sorted(set(ramp)) or ramp[-1] != 100):
        found.append(Problem(document.line(_RAMP), ".".join(_RAMP), f"{ramp} must rise, and end with 100."))
    return found


def _split_problems(document: Document) -> list[Problem]:
    """Keys of `data.split` that its kind needs, or has no use for."""
    split = _at(document.value, "data", "split")
    if not isinstance(split, dict):
        return []
    kind, told = split.get("by", "time"), []
    if kind == "time":
        unused = {
            "column": "it is by `data.time`",
            "holdout": "`evaluate.holdout` says it",
            "seed": "time is no chance",
        }
        told += [(key, f"means nothing by time: {why}. Remove it.") for key, why in unused.items() if split.get(key)]
    elif _at(document.value, "evaluate", "holdout") not in (None, _HOLDOUT_LEFT_OUT):
        told.append(("by", f"{kind!r} divides by share: write `data.split.holdout` instead of `evaluate.holdout`."))
    if kind == "random" and split.get("column"):
        told.append(("column", "means nothing at random. Use `by: group` to keep its values together."))
    if kind == "group" and not split.get("column"):
        told.append(("by", "'group' needs `column`: what must stay together, such as a customer."))
    if kind == "hash" and not split.get("column") and not _at(document.value, "data", "key"):
        told.append(("by", "'hash' needs `column`, or `data.key`."))
    return [
        Problem(document.line(("data", "split", key)), f"data.split.{key}", f"{key} {message}") for key, message in told
    ]


def _engine_problems(document: Document) -> list[Problem]:
    """What cannot be done of rows that stay on an engine."""
    if not _at(document.value, "data", "engine"):
        return []
    found: list[tuple[tuple[str, ...], str]] = []
    read, left_out = _at(document.value, "data", "read"), Reading().model_dump(mode="json")
    if isinstance(read, dict) and any(value != left_out.get(key) for key, value in read.items()):
        found.append((("data", "read"), "says how files are read, and `data.engine` reads none. Remove one of them."))
    if _at(document.value, "data", "split", "by") == "random":
        why = "draws by the number of a row, and rows on an engine have none. Write `by: hash`, of `data.key`."
        found.append((("data", "split", "by"), f"'random' {why}"))
    for check, why in (("monotonic", "rows there have no order"), ("source_age", "an engine has no files")):
        if _at(document.value, "data", "checks", check):
            found.append((("data", "checks", check), f"cannot be decided on `data.engine`: {why}. Remove it."))
    features = _at(document.value, "features")
    for name, declared in features.items() if isinstance(features, dict) else ():
        said = declared if isinstance(declared, dict) else {declared: None} if isinstance(declared, str) else {}
        if "sklearn" in said:
            why = "a scikit-learn pipeline is fitted to rows that are held together, and `data.engine` keeps them apart"
            found.append((("features", name), f"{why}. Remove one of them."))
        if "target" in said and not _at(document.value, "data", "key"):
            why = "target encoding of rows on an engine divides them into folds by `data.key`. Name it."
            found.append((("features", name), why))
    return [Problem(document.line(path), ".".join(path), message) for path, message in found]


_HOLDOUT_LEFT_OUT = holdout_text(Evaluate().holdout)
_RAMP = ("deploy", "strategy", "canary", "ramp")


def _at(value: Any, *path: str) -> Any:
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value
