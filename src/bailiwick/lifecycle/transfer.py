"""Story: a version leaves as one verifiable file, and arrives from one elsewhere.

The file holds the record, the package and reference profile or the files of an MLflow model, the model card, and proof
from the journal of when and by whom it was registered, which the public key of the home it left checks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import Conflict, InvalidInput
from bailiwick.lifecycle.evidence import model_card
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.archive import Archive, Member, member_bytes, read_archive, write_archive
from bailiwick.registry.model import ModelVersion
from bailiwick.registry.rows import require_live
from bailiwick.store.journal.proofs import prove

PACKAGE, PROFILE, CARD, PROOF = "package.onnx", "reference_profile.json", "card.json", "journal_proof.json"
ARTIFACTS = "artifacts/"
SCHEME = "archive:"


def export_version(platform: Platform, workspace: str, model: str, number: int, target: Path) -> Archive:
    """Write a version to a file, replacing one that is there. Raises NotFound; Conflict for a tombstone."""
    version = require_live(platform.registry.version(workspace, model, number, deleted=True))
    record = json.loads(msgspec.json.encode(version, enc_hook=dict))  # NaN, which JSON lacks, becomes null
    return write_archive(target, model=model, number=number, record=record, files=_files(platform, version))


def import_version(platform: Platform, actor: Actor, source: Path, *, model: str = "") -> ModelVersion:
    """Register what an exported file holds as the next version of its model, or of another; the same file again is that.

    Metrics and the like are taken from the record as it came: who imports answers for them, and is its author. Raises
    InvalidInput for a file that is not what its manifest says, before anything is registered.
    """
    actor.require(Permission.MODELS_WRITE)
    archive = read_archive(source)
    package = archive.member(PACKAGE)
    if package is None:
        raise InvalidInput(
            f"{source} holds no package; only versions with an ONNX package can be imported.",
            hint="Package the version where it is, and export it again.",
        )
    stored = {member.path: _kept(platform, source, member) for member in archive.members}
    return platform.registry.register_archive(
        actor,
        model or archive.model,
        record=archive.record,
        origin=f"{SCHEME}{archive.sha256}",
        package=stored[PACKAGE],
        reference_profile=stored.get(PROFILE, ""),
    )


def _kept(platform: Platform, source: Path, member: Member) -> str:
    """The blob of a member that a version needs; of the others only the digest is checked."""
    if member.path in {PACKAGE, PROFILE}:
        return platform.blobs.put(b"".join(member_bytes(source, member)))
    for _ in member_bytes(source, member):
        pass
    return ""


def _files(platform: Platform, version: ModelVersion) -> Iterator[tuple[str, Iterable[bytes]]]:
    if version.package:
        yield PACKAGE, platform.blobs.stream(version.package)
    if version.reference_profile:
        yield PROFILE, platform.blobs.stream(version.reference_profile)
    yield from ((f"{ARTIFACTS}{path}", pieces) for path, pieces in platform.registry.content(version))
    yield CARD, [canonical_json(_plain(asdict(_card(platform, version))))]
    proof = _proof(platform, version)
    if proof is not None:
        yield PROOF, [canonical_json(proof)]


def _card(platform: Platform, version: ModelVersion) -> Any:
    if version.deleted is not None:
        raise Conflict(
            f"Version {version.number} of model {version.model!r} is deleted.", hint="Restore it, then export it."
        )
    return model_card(platform, version.workspace, version.model, version.number)


def _plain(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value, enc_hook=str))


def _proof(platform: Platform, version: ModelVersion) -> dict[str, Any] | None:
    """Proof of the entry by which the version was registered; None while the journal has not sealed it."""
    resource = f"version/{version.model}/{version.number}"
    entries = platform.journal.entries(version.workspace, limit=1, resource=resource, action="version.registered")
    try:
        return prove(platform.database, platform.journal_folder, entries[0].id, workspace=version.workspace)
    except (IndexError, Conflict):  # journalled before entries had this resource, or not in the published tree yet
        return None
