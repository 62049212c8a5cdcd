"""The official CycloneDX 1.6 schema as a judge of what is written."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from tests_support.postgres import required

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "cyclonedx"


@functools.cache
def _judge() -> Any:
    try:
        import jsonschema
        from referencing import Registry, Resource
    except ModuleNotFoundError:
        return None
    schemas = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.schema.json"))}
    found = [(f"http://cyclonedx.org/schema/{name}", Resource.from_contents(each)) for name, each in schemas.items()]
    schema = schemas["bom-1.6.SNAPSHOT.schema.json"]
    return jsonschema.Draft7Validator(schema, registry=Registry().with_resources(found))


def complaints(bom: Any) -> list[str]:
    """What the schema has against a BOM; skips the test, or fails it where `bom` is required, without `jsonschema`."""
    judge = _judge()
    if judge is None:
        if required("bom"):
            pytest.fail("jsonschema is required here and is not installed")
        pytest.skip("jsonschema is not installed")
    return [f"{error.json_path}: {error.message[:300]}" for error in judge.iter_errors(bom)]
