"""A card as a CycloneDX 1.6 ML-BOM: the version as a machine-learning-model component with its model card.

Source: the JSON schema of CycloneDX 1.6 (ECMA-424). Datasets and packages are components that the model depends on; what
the format has no place for, and where each fact comes from, are properties named `bailiwick:…`. Nothing depends on when
or where it is written: the serial number is made from the card's digest, the timestamp is that of the newest fact.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from bailiwick.core.clock import to_text
from bailiwick.governance.cards.fields import FIELDS
from bailiwick.governance.cards.licences import spdx
from bailiwick.governance.cards.model import Answer, Dataset, Metric, ModelCard, Package, Source, Tensor
from bailiwick.governance.cards.wording import dataset_facts, label, shown

SPEC_VERSION = "1.6"
MAX_VERSION_LENGTH = 1024
_NAMESPACE = uuid.UUID("5f2b1c1e-8a53-5d0e-9f0b-3a8c2b1e7d46")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_EXPRESSION = re.compile(r"[A-Za-z0-9.\-+]+( (AND|OR|WITH) [A-Za-z0-9.\-+]+)+")
_SUPERVISED = frozenset({"roc_auc", "log_loss", "accuracy", "brier", "calibration_error"})

Json = dict[str, Any]


def cyclonedx(card: ModelCard) -> Json:
    """The BOM as a JSON object that is valid against the official schema."""
    subject = f"version/{card.model}/{card.number}"
    datasets = [_dataset(each, card.answer("data"), card.answer("personal_data")) for each in card.datasets]
    packages = [_package(each) for each in _unique(card.packages)]
    references = [each["bom-ref"] for each in (*datasets, *packages)]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, card.digest)}",
        "version": 1,
        "metadata": {
            "timestamp": to_text(card.as_of),
            "tools": {"components": [{"type": "application", "name": "bailiwick"}]},
            "component": _model(card, subject),
        },
        "components": [*datasets, *packages],
        "dependencies": [
            {"ref": subject, "dependsOn": references},
            *({"ref": reference, "dependsOn": []} for reference in references),
        ],
        "compositions": [{"aggregate": "incomplete" if packages else "unknown", "dependencies": [subject]}],
    }


def _model(card: ModelCard, subject: str) -> Json:
    component: Json = {
        "type": "machine-learning-model",
        "bom-ref": subject,
        "name": card.model,
        "version": str(card.number),
        "modelCard": _model_card(card),
        "properties": [*_bindings(card), *_facts(card)],
    }
    use, licence, contact = card.answer("intended_use"), card.answer("licence"), card.answer("contact")
    if use:
        component["description"] = use.text
    if _SHA256.fullmatch(card.version_digest):
        component["hashes"] = [{"alg": "SHA-256", "content": card.version_digest}]
    if licence:
        component["licenses"] = _licences(licence.text)
    if contact:
        component["supplier"] = {"contact": [{"name": contact.text}]}
    return component


def _model_card(card: ModelCard) -> Json:
    parameters: Json = {}
    if any(each.name in _SUPERVISED for each in card.metrics):
        parameters |= {"approach": {"type": "supervised"}, "task": "classification"}
    if card.datasets:
        parameters["datasets"] = [{"ref": _reference(each)} for each in card.datasets]
    for direction in ("input", "output"):
        formats = [{"format": _format(each)} for each in card.tensors if each.direction == direction]
        if formats:
            parameters[f"{direction}s"] = formats
    found: Json = {"bom-ref": f"card/{card.digest}", "modelParameters": parameters}
    measured = [_metric(each) for each in card.metrics]
    if measured:
        found["quantitativeAnalysis"] = {"performanceMetrics": measured}
    considerations = _considerations(card)
    if considerations:
        found["considerations"] = considerations
    found["properties"] = [each for answer in card.answers for each in _answer(answer)]
    return found


def _considerations(card: ModelCard) -> Json:
    told = {each.field: each.text for each in card.answers}
    limits = [told[key] if key == "limitations" else f"Out of scope: {told[key]}" for key in _LIMITS if key in told]
    found: Json = {}
    for key, name in (("users", "users"), ("intended_use", "useCases"), ("tradeoffs", "performanceTradeoffs")):
        if key in told:
            found[name] = [told[key]]
    if limits:
        found["technicalLimitations"] = limits
    if "ethical_considerations" in told:
        risk = {"name": told["ethical_considerations"]}
        found["ethicalConsiderations"] = [
            risk | ({"mitigationStrategy": told["oversight"]} if "oversight" in told else {})
        ]
    return found


_LIMITS = ("limitations", "out_of_scope")


def _metric(metric: Metric) -> Json:
    found: Json = {"type": metric.name, "value": shown(metric.value) if metric.value is None else repr(metric.value)}
    if metric.column:
        found["slice"] = f"{metric.column} = {metric.slice or '(missing)'}"
    if metric.low is not None and metric.high is not None:
        found["confidenceInterval"] = {"lowerBound": repr(metric.low), "upperBound": repr(metric.high)}
    return found


def _format(tensor: Tensor) -> str:
    return " ".join(part for part in (tensor.name, tensor.datatype, tensor.shape and f"[{tensor.shape}]") if part)


def _reference(dataset: Dataset) -> str:
    return f"snapshot/{dataset.snapshot}"


def _dataset(dataset: Dataset, described: Answer | None, personal: Answer | None) -> Json:
    properties = [_property(f"bailiwick:data:{name}", text) for name, text in dataset_facts(dataset)]
    data: Json = {
        "bom-ref": f"data/{dataset.snapshot}",
        "type": "dataset",
        "name": dataset.name or dataset.snapshot,
        "contents": {"properties": properties},
    }
    if described:
        data["description"] = described.text
    if personal:
        data["sensitiveData"] = [personal.text]
    component: Json = {
        "type": "data",
        "bom-ref": _reference(dataset),
        "name": dataset.name or dataset.snapshot,
        "version": dataset.snapshot,
        "data": [data],
        "properties": _provenance("data", dataset.source),
    }
    if _SHA256.fullmatch(dataset.digest):
        component["hashes"] = [{"alg": "SHA-256", "content": dataset.digest}]
    return component


def _unique(packages: Iterable[Package]) -> list[Package]:
    """The packages without those that a package URL cannot tell from another."""
    return list({purl(each.name, each.version): each for each in packages}.values())


def purl(name: str, version: str) -> str:
    """The package URL of a distribution on PyPI, its name normalised as PEP 503 and the purl specification say."""
    normal = re.sub(r"[-_.]+", "-", name).lower()
    return f"pkg:pypi/{quote(normal, safe='')}" + (f"@{quote(version, safe='')}" if version else "")


def _package(package: Package) -> Json:
    reference = purl(package.name, package.version)
    component: Json = {
        "type": "library",
        "bom-ref": reference,
        "name": package.name,
        "version": package.version[:MAX_VERSION_LENGTH],
        "purl": reference,
        "properties": _provenance("package", package.source),
    }
    if package.licence:
        component["licenses"] = _licences(package.licence)
    return component


def _licences(text: str) -> list[Json]:
    known = spdx(text)
    if known:
        return [{"license": {"id": known}}]
    return [{"expression": text}] if _EXPRESSION.fullmatch(text) else [{"license": {"name": text}}]


def _bindings(card: ModelCard) -> list[Json]:
    """What binds the BOM to the card and the version, and what nobody has said or knows."""
    missing = [FIELDS[key].title for key in card.missing]
    return [
        _property("bailiwick:workspace", card.workspace),
        _property("bailiwick:version-digest", card.version_digest),
        _property("bailiwick:card-digest", card.digest),
        _property("bailiwick:card-complete", "no: " + ", ".join(missing) if missing else "yes"),
        *(_property(f"bailiwick:unknown:{each.topic}", each.text) for each in card.gaps),
    ]


def _facts(card: ModelCard) -> list[Json]:
    found = []
    for section in card.sections:
        for fact in section.facts:
            found.append(_property(f"bailiwick:{section.key}:{fact.name}", shown(fact.value)))
            found += _provenance(f"{section.key}:{fact.name}", fact.source)
    for metric in card.metrics:
        where = f"[{metric.column} = {metric.slice}]" if metric.column else ""
        found += _provenance(f"metrics:{label(metric.name)}{where}", metric.source)
    return found


def _answer(answer: Answer) -> list[Json]:
    said = [_property(f"bailiwick:stated:{answer.field}", answer.text)]
    if answer.origin:
        said.append(_property(f"bailiwick:origin:{answer.field}", answer.origin))
    return [*said, *_provenance(f"stated:{answer.field}", answer.source)]


def _provenance(name: str, source: Source) -> list[Json]:
    """One property: provenance, record, person, time and journal entry, as `key=value` parts that a program can split."""
    parts = {
        "provenance": source.provenance,
        "record": source.record,
        "by": source.by,
        "identity": source.identity,
        "time": "" if source.time is None else to_text(source.time),
        "entry": source.entry,
    }
    told = "; ".join(f"{key}={quote(value, safe=' /:-')}" for key, value in parts.items() if value)
    return [_property(f"bailiwick:provenance:{name}", told)]


def _property(name: str, value: str) -> Json:
    return {"name": name, "value": value}
