"""Passwords in a project file: new ones are refused, for the file is kept as it was applied; those kept before are told of."""

from __future__ import annotations

from typing import Any

from bailiwick.core.errors import InvalidInput
from bailiwick.data.reading.secrets import holds_password, without_password
from bailiwick.pipelines.project import Project

HINT = (
    "Write ${NAME} for it, as in postgresql://me:${WAREHOUSE_PASSWORD}@db/warehouse, and set that variable where runs are "
    "executed; or leave it out, for ~/.pgpass or PGPASSWORD there."
)


def passwords_of(project: Project) -> dict[str, str]:
    """The addresses that hold one, by key of the project file."""
    data = project.data
    addresses = {f"data.checks.references.{n}.source": each.source for n, each in enumerate(data.checks.references)}
    addresses["data.engine"] = data.engine or ""
    if not (data.engine and " " in data.source):  # then it is SQL, which may say anything
        addresses["data.source"] = data.source
    return {key: address for key, address in sorted(addresses.items()) if holds_password(address)}


def require_no_new_password(project: Project, kept: Project | None) -> None:
    """Raises InvalidInput for an address with a password that is not among those of the project as it is kept."""
    known = set(passwords_of(kept).values()) if kept is not None else set()
    for key, address in passwords_of(project).items():
        if address not in known:
            raise InvalidInput(
                f"{key} of project {project.name!r} holds a password, which would be kept with the project: "
                f"{without_password(address)}.",
                hint=HINT,
            )


def warnings_of(project: Project) -> list[str]:
    """A sentence for each password that is kept since an earlier version took it."""
    return [
        f"{key} of project {project.name!r} holds a password, which is kept with the project. {HINT}"
        for key in passwords_of(project)
    ]


def told(project: Project) -> dict[str, Any]:
    """The project's document without passwords."""
    found: dict[str, Any] = _masked(project.document())
    return found


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_masked(each) for each in value]
    return without_password(value) if isinstance(value, str) else value
