"""Story: a file of rules becomes a version of a model, checked, typed, evaluated and held to gates like any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version as installed

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import InvalidInput
from bailiwick.lifecycle.assessing import Assessment, Labelled, assess
from bailiwick.lifecycle.platform import Platform
from bailiwick.registry.model import ModelVersion
from bailiwick.rules.package import described, made_package
from bailiwick.rules.signature import Declared

RULES = "rules"
MAX_TOLD = 5_000
"""Rules of a version that its record tells one by one; the package has all."""


def register_rules(
    platform: Platform,
    actor: Actor,
    model: str,
    data: bytes,
    *,
    declared: Declared | None = None,
    like: tuple[str, int] | None = None,
    labelled: Labelled | None = None,
    description: str = "",
) -> ModelVersion:
    """The next version of a model from a JSON Decision Model; rules that it has as a version already give that one.

    `like` names a version whose datatypes inputs and outputs of the same name take, so that both can stand behind one
    endpoint. Raises InvalidInput naming node and expression; CheckFailed where a gate on `labelled` says no, before
    anything is registered.
    """
    actor.require(Permission.MODELS_WRITE)
    wanted = declared or Declared()
    if like is not None:
        wanted = replace(wanted, preferred=_preferred(platform, actor.workspace, like))
    package, decision, shape = made_package(data, wanted)
    digest = platform.blobs.put(package)
    known = [each for each in _versions(platform, actor.workspace, model) if each.package == digest]
    if known:
        return known[0]
    found = Assessment() if labelled is None else assess(platform, actor.workspace, model, digest, labelled)
    told = described(decision)
    return platform.registry.register(
        actor,
        model,
        package=digest,
        run_id="",
        snapshot="",
        signature=shape.signature,
        metrics=found.metrics,
        slices=found.slices,
        parity={"runtime": RULES, "passed": True, "reason": _reason(found), "gates": list(found.gates)},
        environment={"packages": {"zen-engine": installed("zen-engine")}},
        code_version="",
        parameters=told if len(told) <= MAX_TOLD else {"rules": len(told)},
        description=description,
    )


def _reason(found: Assessment) -> str:
    gates = f"; {len(found.gates)} gates passed" if found.gates else ""
    return f"the file itself is what is served{gates}"


def _versions(platform: Platform, workspace: str, model: str) -> list[ModelVersion]:
    if model not in {each.name for each in platform.registry.models(workspace)}:
        return []
    return platform.registry.versions(workspace, model)


def _preferred(platform: Platform, workspace: str, like: tuple[str, int]) -> dict[str, str]:
    """Datatypes of the other version's inputs and outputs."""
    other = platform.registry.version(workspace, *like)
    kinds = {**_kinds(other.signature.get("inputs")), **_kinds(other.signature.get("outputs"))}
    if not kinds:
        raise InvalidInput(f"{like[0]} version {like[1]} has no signature with datatypes to take over.")
    return kinds


def _kinds(columns: object) -> Mapping[str, str]:
    if not isinstance(columns, list):
        return {}
    return {str(each["name"]): str(each["datatype"]) for each in columns if "datatype" in each and "name" in each}
