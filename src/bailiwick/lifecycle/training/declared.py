"""The project file's features as the feature layer reads them, with every mistake told by its line."""

from __future__ import annotations

from pathlib import Path

from bailiwick.core.errors import InvalidInput
from bailiwick.features.model import FeatureSpec
from bailiwick.features.specification import parse_features
from bailiwick.pipelines.project import FILE_NAME, Project
from bailiwick.pipelines.project_errors import complain
from bailiwick.pipelines.yaml_document import Document, Problem, read_document


def declared_features(project: Project, *, file: Path | None = None) -> tuple[FeatureSpec, ...]:
    """In file order; `file` is where the project was read from. Raises InvalidInput that lists all that is wrong: line, key, value, choices and what to do."""
    specs: list[FeatureSpec] = []
    problems: list[tuple[str, str]] = []
    for name, declared in project.features.items():
        try:
            (spec,) = parse_features({name: declared})
            _refuse_answers(project, spec)
            specs.append(spec)
        except InvalidInput as error:
            problems.append((name, str(error)))
    if problems:
        place = project.folder / FILE_NAME if file is None else file
        place = place / FILE_NAME if place.is_dir() else place
        document = _document(place)
        raise complain(
            str(place),
            [Problem(document.line(("features", name)), f"features.{name}", message) for name, message in problems],
        )
    return tuple(specs)


def _document(file: Path) -> Document:
    """The file again, for the lines of what is wrong; a project that runs may have lost its file since."""
    try:
        return read_document(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, InvalidInput):
        return Document()


def _refuse_answers(project: Project, spec: FeatureSpec) -> None:
    """A feature made of the label would know the answer, and one made of the key would learn rows by heart."""
    for what, column in (("label", project.data.label.column), ("key", project.data.key)):
        if column and column in spec.reads:
            raise InvalidInput(f"Column {column!r} is the {what}, so no feature can be made of it. Remove it.")
