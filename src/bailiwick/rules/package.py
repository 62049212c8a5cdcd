"""The package of a rule-based model: one canonical JSON object, which begins with its format and so tells its kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from bailiwick.core.canonical import canonical_json
from bailiwick.core.errors import BailiwickError, Corrupted
from bailiwick.rules.document import EXPRESSION, TABLE, Decision, columns_of, decision_of, read_decision, rules_of
from bailiwick.rules.signature import Declared, Shape, Value, shape_of

FORMAT = "1"
_MAGIC = b'{"bailiwick.rules":"'


class RulesPackage(Struct, frozen=True):
    """`signature` is as ONNX packages write it, `decision` the file as it was registered."""

    signature: dict[str, Any]
    decision: dict[str, Any]
    defaults: dict[str, Value] = {}
    format: str = field(default=FORMAT, name="bailiwick.rules")


def is_rules(package: Path) -> bool:
    """Whether a package file is of this kind."""
    with package.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def made_package(data: bytes, declared: Declared | None = None) -> tuple[bytes, Decision, Shape]:
    """The package of a JSON Decision Model. Raises InvalidInput naming node and expression, LimitExceeded."""
    decision = read_decision(data)
    shape = shape_of(decision, declared or Declared())
    package = RulesPackage(shape.signature, dict(decision.tree), dict(shape.defaults))
    return canonical_json(msgspec.to_builtins(package)), decision, shape


def read_package(data: bytes) -> RulesPackage:
    """Raises Corrupted for what is no package of the known format, or holds what could not have been registered."""
    try:
        package = msgspec.json.decode(data, type=RulesPackage)
        decision_of(package.decision)
    except (msgspec.DecodeError, BailiwickError, RecursionError) as error:
        raise Corrupted(f"The package of rules cannot be read: {error}.") from error
    if package.format != FORMAT:
        raise Corrupted(f"The package of rules has format {package.format!r}; this version knows {FORMAT!r}.")
    return package


def described(decision: Decision) -> dict[str, str]:
    """Each rule and expression in a line, by names that stay when others are added: what two versions are compared by."""
    told: dict[str, str] = {}
    for node in decision.nodes:
        if node.kind == TABLE:
            rules = rules_of(node)
            keys = [str(rule.get("_id") or f"rule {number}") for number, rule in enumerate(rules, 1)]
            told |= {f"{node.name} / {key}": _rule(node, rule) for key, rule in zip(keys, rules, strict=True)}
            told[f"{node.name} / order"] = ", ".join(keys)
        elif node.kind == EXPRESSION:
            for each in columns_of(node, "expressions"):
                told[f"{node.name} / {each.get('key')}"] = str(each.get("value"))
    return told


def _rule(node: Any, rule: Mapping[str, Any]) -> str:
    when = [_cell(column, rule) for column in columns_of(node, "inputs") if str(rule.get(column["id"]) or "").strip()]
    then = [f"{column['field']} = {rule.get(column['id']) or 'nothing'}" for column in columns_of(node, "outputs")]
    return f"{' and '.join(when) or 'always'} → {', '.join(then)}"


def _cell(column: Mapping[str, Any], rule: Mapping[str, Any]) -> str:
    return f"{column.get('field') or ''} {rule.get(column['id'])}".strip()
