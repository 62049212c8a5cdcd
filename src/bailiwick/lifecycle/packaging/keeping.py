"""A model that stays what it is: its files as a package, unpacked again to see that they are all there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bailiwick.lifecycle.platform import Platform
from bailiwick.pyfunc.archive import Manifest, files_of, manifest_format, unpack, write_archive
from bailiwick.pyfunc.interpreter import read_needs
from bailiwick.pyfunc.mlmodel import LoggedModel


@dataclass(frozen=True, slots=True)
class Package:
    """A package that is stored, and what is known of it."""

    digest: str
    signature: dict[str, Any]
    parity: dict[str, Any]
    environment: dict[str, Any]


def packed(files: Path, folder: Path, model: LoggedModel, signature: dict[str, Any], *, example: str = "") -> Path:
    """Write `folder`'s package of a model's files; gives the folder that they were unpacked to from it."""
    needs = read_needs(files)
    manifest = Manifest(
        format=manifest_format(signature),
        signature=signature,
        flavours={name: dict(said) for name, said in model.flavours.items()},
        inputs=tuple(column.described() for column in model.inputs),
        tensors=model.tensors,
        environment=needs.digest,
        python=needs.version,
        files=files_of(files),
        example=example,
    )
    with (folder / "package").open("w+b") as file:
        write_archive(file, files, manifest)
    again = folder / "again"
    again.mkdir(mode=0o755)
    unpack(folder / "package", again)
    return again


def stored(platform: Platform, folder: Path) -> str:
    """The digest of the package that `packed` wrote, which is a blob now."""
    with platform.blobs.writer() as writer, (folder / "package").open("rb") as file:
        while data := file.read(1 << 20):
            writer.write(data)
        return writer.commit()


def confinement_told(in_force: object) -> dict[str, Any]:
    """What kept the model in, as the version's record has it."""
    told: dict[str, Any] = msgspec.to_builtins(in_force)
    return told


def libraries_told(about: dict[str, Any]) -> dict[str, str]:
    """Versions that the model's process told, cut: it may say anything."""
    said = about.get("libraries")
    found = {str(name)[:60]: str(version)[:60] for name, version in list(dict(said or {}).items())[:20]}
    return found | {"python": str(about.get("python", ""))[:20]}
