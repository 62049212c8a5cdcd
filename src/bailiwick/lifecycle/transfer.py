"""Story: a version leaves as one verifiable file, and arrives from one elsewhere.

The file holds the record, the package and reference profile, the files of an MLflow model, the model card, the lineage as it
was told there, and proof from the journal of when and by whom it was registered, which the public key of the home it left
checks. What arrives is checked to the last byte before anything of it is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec

from bailiwick.core.actor import Actor, Permission, system_actor
from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import CheckFailed, Conflict, InvalidInput
from bailiwick.lifecycle.comparing import facts_of
from bailiwick.lifecycle.evidence import model_card
from bailiwick.lifecycle.lineage.walk import trace
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.archive import Archive, Member, member_bytes, read_archive, write_archive
from bailiwick.registry.contents import content_digest, describe_files
from bailiwick.registry.model import ModelVersion
from bailiwick.registry.ports import StoredFile
from bailiwick.registry.rows import require_live
from bailiwick.store.journal.proofs import prove

PACKAGES = {
    "onnx": "package.onnx",
    "python": "package.tar",
    "rules": "package.rules.json",
    "composition": "package.composition.tar",
}
PROFILE, CARD, PROOF = "reference_profile.json", "card.json", "journal_proof.json"
LINEAGE = "lineage.json"
ARTIFACTS = "artifacts/"
SCHEME = "archive:"
EVIDENCE = (CARD, LINEAGE, PROOF)


def export_version(platform: Platform, workspace: str, model: str, number: int, target: Path) -> Archive:
    """Write a version to a file, replacing one that is there. Raises NotFound; Conflict for a tombstone and for a version
    whose files are out of reach; CheckFailed for one whose files are not what was registered.
    """
    version = require_live(platform.registry.version(workspace, model, number, deleted=True))
    facts = facts_of(platform, version)  # what its run logged would be lost elsewhere, where there is no such run
    version = replace(version, parameters=facts.parameters, metrics=facts.metrics)
    record = json.loads(msgspec.json.encode(version, enc_hook=dict))  # NaN, which JSON lacks, becomes null
    return write_archive(target, model=model, number=number, record=record, files=_files(platform, version))


def import_version(platform: Platform, actor: Actor, source: Path, *, model: str = "") -> ModelVersion:
    """Register what an exported file holds as the next version of its model, or of another; the same file again is that.

    Metrics and the like are taken from the record as it came: who imports answers for them, and is its author. What the
    files themselves say is read from them. Raises InvalidInput for a file that is not what its manifest says, before
    anything is kept.
    """
    actor.require(Permission.MODELS_WRITE)
    archive = read_archive(source)
    files = [_stored(each) for each in archive.members if each.path.startswith(ARTIFACTS)]
    folder = f"mlflow-artifacts:/registry/archives/{archive.sha256}"
    _check_members(platform, actor, source, archive, files, folder)
    origin, name = f"{SCHEME}{archive.sha256}", model or archive.model
    known = platform.registry.version_of_source(actor.workspace, name, origin)
    if known is not None:
        return known
    described = describe_files(files, lambda path: _bytes(source, archive, path)) if files else {}
    try:
        kept = _keep(platform, actor, source, archive, folder)
        return platform.registry.register_archive(
            actor,
            name,
            record=archive.record,
            origin=origin,
            package=next((kept[path] for path in PACKAGES.values() if path in kept), ""),
            reference_profile=kept.get(PROFILE, ""),
            storage=f"{folder}/model" if files else "",
            described=described,
        )
    except BaseException:
        if not platform.registry.versions_from(actor.workspace, origin):
            platform.artifacts.delete(_registry(actor), platform.artifacts.locate(actor.workspace, folder))
        raise


def _check_members(
    platform: Platform, actor: Actor, source: Path, archive: Archive, files: list[StoredFile], folder: str
) -> None:
    """Every byte is what the manifest says, every path can be kept, and the files are those that the record names."""
    if not files and all(archive.member(path) is None for path in PACKAGES.values()):
        raise InvalidInput(
            f"{source} holds neither a package nor the files of a model.",
            hint="Export the version where its files are within reach.",
        )
    for member in archive.members:
        platform.artifacts.locate(actor.workspace, folder, f"model/{member.path.removeprefix(ARTIFACTS)}")
        for _ in member_bytes(source, member):
            pass
    said = str(archive.record.get("digest", ""))
    if files and said and said != content_digest(files):
        raise InvalidInput(
            f"{source} holds other files than the record names: {content_digest(files)}, and not {said}."
        )


def _keep(platform: Platform, actor: Actor, source: Path, archive: Archive, folder: str) -> dict[str, str]:
    """Keep what a version needs; returns the blobs of package and profile by path. May be repeated."""
    kept: dict[str, str] = {}
    for member in archive.members:
        if member.path in {*PACKAGES.values(), PROFILE}:
            kept[member.path] = platform.blobs.put(b"".join(member_bytes(source, member)))
            continue
        inside = member.path.startswith(ARTIFACTS)
        if inside or member.path in EVIDENCE:
            path = f"model/{member.path.removeprefix(ARTIFACTS)}" if inside else f"evidence/{member.path}"
            location = platform.artifacts.locate(actor.workspace, folder, path)
            platform.artifacts.put(_registry(actor), location, member_bytes(source, member))
    return kept


def _registry(actor: Actor) -> Actor:
    """Files are kept on behalf of the platform: whoever may register a version need not be one who may track runs."""
    return system_actor(actor.workspace, "registry")


def _stored(member: Member) -> StoredFile:
    return StoredFile(member.path.removeprefix(ARTIFACTS), member.sha256, member.size_bytes)


def _bytes(source: Path, archive: Archive, path: str) -> Iterator[bytes]:
    member = archive.member(f"{ARTIFACTS}{path}")
    return member_bytes(source, member) if member is not None else iter(())


def _files(platform: Platform, version: ModelVersion) -> Iterator[tuple[str, Iterable[bytes]]]:
    if version.package:
        yield PACKAGES[version.runtime], platform.blobs.stream(version.package)
    if version.reference_profile:
        yield PROFILE, platform.blobs.stream(version.reference_profile)
    files = platform.registry.files(version)
    if not files and not version.package:
        raise Conflict(
            f"The files of {version.model} version {version.number} are {version.content_state}: out of this server's "
            f"reach at {version.storage or version.source!r}, so there is nothing to export.",
            hint="Copy them into the server's artifacts and register the version from there.",
        )
    if files and version.digest and version.source and content_digest(files) != version.digest:
        raise CheckFailed(
            f"The files of {version.model} version {version.number} are not those that were registered.",
            hint="`bailiwick models verify` says more; what is exported must be what was approved.",
        )
    yield from ((f"{ARTIFACTS}{path}", pieces) for path, pieces in platform.registry.content(version))
    yield CARD, [canonical_json(_plain(asdict(_card(platform, version))))]
    graph = trace(platform, version.workspace, f"version/{version.model}/{version.number}", "backward")
    yield LINEAGE, [canonical_json(_plain(asdict(graph)))]
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
