"""What the files of a version say of themselves: an MLmodel's flavours and signature, the packages it asks for.

Anybody may have written them, so they are read with suspicion: whole only up to a limit, never as anything but text, and
never expanded. What cannot be understood is told as a `problem`, and costs a version nothing but that knowledge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from bailiwick.core.canonical import digest_of
from bailiwick.core.deferred import deferred
from bailiwick.core.errors import InvalidInput
from bailiwick.registry.ports import StoredFile

if TYPE_CHECKING:
    import yaml
else:
    yaml = deferred("yaml")

MLMODEL, REQUIREMENTS = "MLmodel", "requirements.txt"
MAX_MLMODEL_BYTES = 1 << 20
MAX_REQUIREMENTS_BYTES = 256 << 10
MAX_SIGNATURE_BYTES = 256 << 10
MAX_EVENTS = 50_000
MAX_DEPTH = 40
MAX_ALIASES = 100
MAX_WORD = 250
MAX_FLAVORS = 50
MAX_PACKAGES = 1_000

_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*={2,3}\s*([^\s;#,]+)\s*(?:;.*)?(?:\s#.*)?")
_BREAKS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

Reader = Callable[[str], Iterator[bytes]]


def content_digest(files: Sequence[StoredFile]) -> str:
    """One digest of many files: SHA-256 of the canonical JSON of [path, SHA-256, size], by path."""
    return digest_of(sorted([each.path, each.sha256, each.size_bytes] for each in files))


def describe_files(files: Sequence[StoredFile], read: Reader) -> dict[str, Any]:
    """Facts of a version by its files: `digest`, `size_bytes`, and the documents `content`, `signature`, `environment`.

    `read` gives a file's bytes by its path; of all files two are read, and those only when they are small.
    """
    by_path = {each.path: each for each in files}
    content: dict[str, Any] = {"files": len(files)}
    signature: dict[str, Any] = {}
    environment: dict[str, Any] = {}
    requirements = by_path.get(REQUIREMENTS)
    if requirements is not None:
        content["requirements_digest"] = requirements.sha256
    try:
        told = read_mlmodel(_small(by_path, MLMODEL, MAX_MLMODEL_BYTES, read))
        signature = told.pop("signature")
        content |= told
    except InvalidInput as error:
        content["problem"] = error.message
    if requirements is not None and requirements.size_bytes <= MAX_REQUIREMENTS_BYTES:
        packages = pinned_packages(_small(by_path, REQUIREMENTS, MAX_REQUIREMENTS_BYTES, read))
        environment = {"packages": packages} if packages else {}
    if content.get("python_version"):
        environment["python"] = content["python_version"]
    return {
        "digest": content_digest(files),
        "size_bytes": sum(each.size_bytes for each in files),
        "content": content,
        "signature": signature,
        "environment": environment,
    }


def read_mlmodel(data: bytes) -> dict[str, Any]:
    """What an MLmodel file says: `flavors` with the version of each library, `signature`, and whatever else is known.

    Raises InvalidInput for a file that is no MLmodel or is made to be expensive.
    """
    tree = _tree(data)
    flavors = _mapping(tree.get("flavors"))
    if not flavors:
        raise InvalidInput("Its MLmodel names no flavour.")
    told: dict[str, Any] = {"flavors": dict(_flavors(flavors))}
    python = _mapping(flavors.get("python_function"))
    words = {
        "mlflow_version": tree.get("mlflow_version"),
        "python_version": python.get("python_version"),
        "loader": python.get("loader_module"),
        "model_uuid": tree.get("model_uuid"),
        "model_id": tree.get("model_id"),
        "run_id": tree.get("run_id"),
        "made": tree.get("utc_time_created"),
    }
    told |= {name: word for name, value in words.items() if (word := _word(value))}
    told["input_example"] = bool(_mapping(tree.get("saved_input_example_info")))
    told["signature"] = _signature(_mapping(tree.get("signature")))
    return told


def pinned_packages(data: bytes) -> dict[str, str]:
    """Version by name of each package that a requirements file pins; what is not pinned is no fact, and is left out."""
    found: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        pinned = _PINNED.fullmatch(line.strip())
        if pinned and len(found) < MAX_PACKAGES and len(line) <= MAX_WORD:
            found[pinned[1]] = pinned[2]
    return found


def _small(by_path: Mapping[str, StoredFile], path: str, limit: int, read: Reader) -> bytes:
    found = by_path.get(path)
    if found is None:
        raise InvalidInput(f"It has no {path} file, so it was not saved by MLflow.")
    if found.size_bytes > limit:
        raise InvalidInput(f"Its {path} file has {found.size_bytes} bytes; at most {limit} are read.")
    data = bytearray()
    for piece in read(path):
        data += piece
        if len(data) > limit:  # it has grown since it was listed
            raise InvalidInput(f"Its {path} file has more than {limit} bytes.")
    return bytes(data)


def _tree(data: bytes) -> dict[str, Any]:
    """The file as nested text: no dates, numbers or objects are made of it. Aliases stay what they are, references."""
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        _check_events(yaml.parse(data, Loader=loader))
        tree = yaml.load(data, Loader=loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(f"Its MLmodel is not YAML: {_BREAKS.sub(' ', str(error))[:200]}.") from None
    if not isinstance(tree, dict):
        raise InvalidInput("Its MLmodel is no mapping.")
    return tree


def _check_events(events: Iterator[Any]) -> None:
    depth = aliases = 0
    for count, event in enumerate(events):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if count > MAX_EVENTS or depth > MAX_DEPTH or aliases > MAX_ALIASES:
            raise InvalidInput("Its MLmodel is larger, deeper or more entangled than any model's description is.")


def _flavors(flavors: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The library's version is under `<flavour>_version`, or under another name that ends so."""
    for name in sorted(filter(_word, flavors))[:MAX_FLAVORS]:
        said = _mapping(flavors[name])
        own = [f"{name}_version", *sorted(key for key in said if key.endswith("_version") and key != "python_version")]
        yield _word(name), next((word for key in own if (word := _word(said.get(key)))), "")


def _signature(said: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs, outputs and parameters as lists of columns, of those that are declared."""
    if sum(len(value) for value in said.values() if isinstance(value, str)) > MAX_SIGNATURE_BYTES:
        return {}
    found: dict[str, Any] = {}
    for direction in ("inputs", "outputs", "params"):
        try:
            columns = msgspec.json.decode(said.get(direction) or "null")
        except (msgspec.DecodeError, TypeError, ValueError, RecursionError):
            continue
        if isinstance(columns, list):
            found[direction] = [_column(place, each) for place, each in enumerate(columns) if isinstance(each, Mapping)]
    return {direction: columns for direction, columns in found.items() if columns}


def _column(place: int, said: Mapping[str, Any]) -> dict[str, Any]:
    tensor = _mapping(said.get("tensor-spec"))
    column: dict[str, Any] = {"name": _word(said.get("name")) or str(place)}
    if tensor:
        shape = tensor.get("shape")
        sizes = [each for each in shape if isinstance(each, int)] if isinstance(shape, list) else []
        return column | {"datatype": _word(tensor.get("dtype")), "shape": sizes}
    column["type"] = _word(said.get("type")) or "unknown"
    for key in ("required", "default", "items", "properties", "shape"):
        if said.get(key) is not None:
            column[key] = said[key]
    return column


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _word(value: object) -> str:
    """A text that both databases can keep, cut where it is too long for what it is; empty for anything else."""
    text = _BREAKS.sub(" ", value).strip()[:MAX_WORD] if isinstance(value, str) else ""
    return "" if text in {"null", "~"} else text
