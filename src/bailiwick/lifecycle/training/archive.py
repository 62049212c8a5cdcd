"""Packages of what stays Python, made by training: one pickle that brings along all it needs of the project."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bailiwick.lifecycle.platform import Platform
from bailiwick.pyfunc.archive import FORMAT, Manifest, files_of, write_archive
from bailiwick.pyfunc.mlmodel import Column

_FILE = "model.pkl"


def kept_archive(
    platform: Platform, pickle: bytes, inputs: Mapping[str, str], outputs: Sequence[Mapping[str, Any]]
) -> str:
    """Digest of the package that answers columns of these OIP datatypes with these outputs."""
    columns = [Column(name, datatype) for name, datatype in inputs.items()]
    described = [{"name": each.name, "datatype": each.datatype, "shape": list(each.shape)} for each in columns]
    with tempfile.TemporaryDirectory(prefix="bailiwick-kept-") as scratch:
        files, package = Path(scratch) / "files", Path(scratch) / "package"
        files.mkdir()
        (files / _FILE).write_bytes(pickle)
        manifest = Manifest(
            format=FORMAT,
            signature={"inputs": described, "outputs": [dict(each) for each in outputs]},
            flavours={
                "sklearn": {"pickled_model": _FILE, "serialization_format": "pickle"},
                "python_function": {"predict_fn": "predict"},
            },
            inputs=tuple(column.described() for column in columns),
            tensors=False,
            environment="",
            python="",
            files=files_of(files),
        )
        with package.open("w+b") as file:
            write_archive(file, files, manifest)
        with platform.blobs.writer() as writer, package.open("rb") as file:
            while data := file.read(1 << 20):
                writer.write(data)
            return writer.commit()
