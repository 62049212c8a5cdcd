"""Artifacts of one place there, streamed to a place here; a file that is here in the same size is not sent again."""

from __future__ import annotations

from dataclasses import dataclass, field

from bailiwick.adapters.mlflow.connection import Refused
from bailiwick.adapters.mlflow.remote import RemoteMlflow
from bailiwick.core.actor import Actor
from bailiwick.core.errors import BailiwickError, Conflict, InvalidInput, LimitExceeded, NotFound, Unavailable
from bailiwick.store.faults import reach
from bailiwick.tracking.artifacts.paths import check_path
from bailiwick.tracking.artifacts.service import ArtifactService

TRIES = 3


@dataclass(slots=True)
class Moved:
    """What is there, and which of it could not come here."""

    files: int = 0
    size_bytes: int = 0
    sent: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


def move_files(
    remote: RemoteMlflow, artifacts: ArtifactService, actor: Actor, *, root: str, location: str, write: bool = True
) -> Moved:
    """Bring every file below `root` to the artifact URI `location`; without `write` only count what is there.

    In constant memory: one piece of one file at a time. A path that no artifact can have, and what the server will not
    list or send, is refused and the others come. Raises Unavailable when the server is gone.
    """
    moved = Moved()
    here = _sizes(artifacts, actor.workspace, location) if write else {}
    for path, size in remote.files(root, lambda folder, why: moved.refused.append((folder, why))):
        moved.files += 1
        moved.size_bytes += size or 0
        if not write or (size is not None and here.get(path) == size):
            continue
        try:
            check_path(path)
            sent = _send(remote, artifacts, actor, (root, location, path), size)
        except NotFound:
            moved.files -= 1  # it went while we looked
            moved.size_bytes -= size or 0
            continue
        except (InvalidInput, LimitExceeded, Conflict, Refused) as refusal:
            moved.refused.append((path, refusal.message))
            continue
        moved.size_bytes += sent - (size or 0)
        moved.sent += 1
        reach("imports.file")
    return moved


def count_files(artifacts: ArtifactService, workspace: str, location: str) -> tuple[int, int]:
    """Files at an artifact URI here, and their bytes."""
    sizes = _sizes(artifacts, workspace, location)
    return len(sizes), sum(sizes.values())


def _sizes(artifacts: ArtifactService, workspace: str, location: str) -> dict[str, int]:
    return {file.path: file.size_bytes for file in artifacts.files(workspace, artifacts.locate(workspace, location))}


def _send(
    remote: RemoteMlflow, artifacts: ArtifactService, actor: Actor, place: tuple[str, str, str], size: int | None
) -> int:
    root, location, path = place
    failure: BailiwickError | None = None
    for _ in range(TRIES):
        sent = 0
        try:
            with artifacts.upload(actor, artifacts.locate(actor.workspace, location, path)) as upload:
                for chunk in remote.file(root, path):
                    sent += len(chunk)
                    upload.write(chunk)
                _check_size(remote.url, path, sent, size)
                upload.finish()
        except Refused:
            raise
        except Unavailable as error:
            failure = error
            continue
        return sent
    assert failure is not None
    raise failure


def _check_size(url: str, path: str, sent: int, size: int | None) -> None:
    if size is not None and sent != size:
        raise Unavailable(f"{url} sends {sent:,} bytes of {path!r}, which it lists with {size:,}.")
