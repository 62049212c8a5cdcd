"""What a file of rules may be: everything that is not confined, typed or parseable is refused, by node and expression."""

from __future__ import annotations

import json

import pytest

from bailiwick.core.errors import BailiwickError, Corrupted, InvalidInput, LimitExceeded
from bailiwick.rules.document import MAX_BYTES, MAX_NODES, read_decision
from bailiwick.rules.package import described, made_package, read_package
from bailiwick.rules.signature import Declared, shape_of
from tests_support.decisions import Tree, discount, encoded, expressions, graph, node, scoring, table


def refused(tree: Tree, declared: Declared | None = None) -> str:
    with pytest.raises(BailiwickError) as raised:
        made_package(encoded(tree), declared)
    return str(raised.value)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("functionNode", "JavaScript"),
        ("customNode", "program that embeds"),
        ("decisionNode", "another file"),
        ("httpNode", "other machines"),
        ("databaseNode", "database"),
        ("magicNode", "choose one of"),
    ],
)
def test_a_node_that_is_not_confined_is_refused_with_the_reason(kind: str, reason: str) -> None:
    said = refused(graph(node(kind, "Step", source="export const handler = async () => { while (true) {} }")))
    assert "'Step'" in said
    assert reason in said


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("amount >", "cannot be read"),
        ("foo bar", "cannot be read"),
        ("sum(map([1..100000000], # * amount))", "loops"),
        ("count(split(country, ','), # == 'x')", "loops"),
        ("`${'}' + count(['a'], # == 'a')}`", "loops"),
        ("rand(100) + amount", "another time"),
        ("d() > amount", "another time"),
        ("date('now') - amount", "another time"),
        ("{a: amount}", "object"),
    ],
)
def test_an_expression_that_cannot_be_served_is_named_with_its_node(source: str, reason: str) -> None:
    said = refused(graph(expressions(score=source)))
    assert reason in said
    assert "node 'Numbers', expression 'score'" in said.lower() or "node 'numbers', expression 'score'" in said.lower()


def test_a_cell_that_cannot_be_parsed_is_refused_though_the_engine_would_take_it_for_no_hit() -> None:
    said = refused(graph(table([{"a": "> ", "t": "'x'"}], {"a": "amount"}, {"t": "tier"})))
    assert "Node 'Table', rule 1, amount: '> ' cannot be read" in said


def test_copies_of_copies_of_a_text_are_refused() -> None:
    doubled = {f"s{level}": f"$.s{level - 1} + $.s{level - 1}" if level else "country + 'x'" for level in range(40)}
    assert "times over" in refused(graph(expressions(**doubled)), Declared({"country": "BYTES"}))


def test_the_column_of_a_table_is_held_to_the_same() -> None:
    said = refused(graph(table([{"t": "'x'"}], {"a": "len(map([1..99999999], #))"}, {"t": "tier"})))
    assert "column len" in said
    assert "loops" in said


def test_copies_that_hide_in_templates_are_counted() -> None:
    doubled = {
        f"s{level}": f"`${{'}}' + $.s{level - 1} + $.s{level - 1}}}`" if level else "country" for level in range(40)
    }
    assert "times over" in refused(graph(expressions(**doubled)), Declared({"country": "BYTES"}))


def test_copies_over_several_nodes_are_counted_together() -> None:
    doubled = [expressions(f"N{level}", s="s + s" if level else "country + 'x'") for level in range(12)]
    assert "times over" in refused(graph(*doubled), Declared({"country": "BYTES"}, {"s": "BYTES"}))


def test_what_is_no_graph_is_refused() -> None:
    start, end = node("inputNode", "In"), node("outputNode", "Out")
    several = [
        (b"{", "not JSON"),
        (b"[]", "no decision graph"),
        (b'{"nodes": [], "edges": []}', "one inputNode"),
        (b'{"nodes": [5], "edges": []}', "`id` and `type`"),
        (encoded({"nodes": [start, start, end], "edges": []}), "same id"),
        (encoded({"nodes": [start, end], "edges": [{"sourceId": "in", "targetId": "x"}]}), "no node"),
        (encoded({"nodes": [start, end], "edges": [7]}), "no node"),
        (encoded({"nodes": [start, end], "edges": [{"sourceId": "in", "targetId": "out"}]}), "read no input"),
        (encoded(graph(expressions(a="x"), edges=[("request", "numbers"), ("numbers", "numbers")])), "circle"),
        (encoded(graph({**table([], {}, {}), "content": None})), "no `content`"),
        (encoded(graph(table([{"a": 5}], {"a": "x"}, {"t": "y"}))), "expressions are texts"),  # type: ignore[dict-item]
        (encoded(graph(expressions(), node("decisionTableNode", "T", rules="no"))), "list of objects"),
        (encoded(graph(table([], {"a": "x"}, {"t": "y"}, hitPolicy="collect"))), "collects"),
        (encoded(graph(table([], {"a": "x"}, {"t": "y[]"}))), "collects"),
        (encoded(graph(table([], {"a": "x"}, {"t": "y"}, executionMode="loop"))), "loops over a list"),
        (encoded(graph(table([], {"a": "x"}, {"t": "y"}, outputPath="z"))), "outputPath"),
        (encoded(graph(table([], {"a": "x"}, {"t": ""}))), "without `id` and `field`"),
    ]
    for data, reason in several:
        with pytest.raises(InvalidInput, match=reason):
            made_package(data)
    with pytest.raises(LimitExceeded, match="bytes"):
        read_decision(b" " * (MAX_BYTES + 1))
    with pytest.raises(LimitExceeded, match="nodes"):
        read_decision(json.dumps({"nodes": [start] * (MAX_NODES + 1), "edges": []}).encode())


def test_inputs_and_outputs_are_inferred_from_what_the_rules_compare_and_give() -> None:
    _, _, shape = made_package(encoded(discount()))
    assert shape.inputs == {"amount": "FP64", "country": "BYTES"}
    assert shape.outputs == {"tier": "BYTES", "discount": "FP64"}
    assert made_package(encoded(scoring()))[2].outputs == {"probability": "FP32"}


def test_names_that_other_nodes_make_are_no_inputs() -> None:
    first = expressions("First", total="amount * rate", flag="amount > 3 and not blocked")
    second = table([{"t": "> 3", "o": "$nodes.Request.city"}], {"t": "total"}, {"o": "place"}, name="Second")
    shape = shape_of(read_decision(encoded(graph(first, second))), Declared({"city": "BYTES"}, {"place": "BYTES"}))
    assert shape.inputs == {"amount": "FP64", "rate": "FP64", "blocked": "BOOL", "city": "BYTES"}
    assert shape.outputs == {"place": "BYTES"}


def test_outputs_reach_the_end_past_switches_and_through_nodes_that_pass_them_on() -> None:
    first = expressions("First", total="amount * 2")
    last = expressions("Last", big="total > 5")
    last["content"]["passThrough"] = True
    assert made_package(encoded(graph(first, last)))[2].outputs == {"big": "BOOL", "total": "FP64"}
    switch = node(
        "switchNode", "Switch", statements=[{"id": "b", "condition": "amount > 10"}, {"id": "s", "condition": ""}]
    )
    big, small = expressions("Big", size="'big'"), expressions("Small", size="'small'")
    lines = [
        ("request", "switch"),
        ("switch", "big", "b"),
        ("switch", "small", "s"),
        ("big", "response"),
        ("small", "response"),
    ]
    assert made_package(encoded(graph(switch, big, small, edges=lines)))[2].outputs == {"size": "BYTES"}


def test_schemas_of_the_graph_declare_types_and_defaults() -> None:
    request = {"type": "object", "properties": {"amount": {"type": "integer"}, "country": {"type": ["string", "null"]}}}
    response = {
        "type": "object",
        "properties": {"tier": {"type": "string", "default": "none"}, "discount": {"type": "number"}},
    }
    tree = graph(*[each for each in discount()["nodes"] if each["name"] == "Table"], request=request, response=response)
    _, _, shape = made_package(encoded(tree))
    assert shape.inputs == {"amount": "INT64", "country": "BYTES"}
    assert shape.defaults == {"tier": "none"}
    request["properties"] = {"amount": {"type": "array"}}
    assert "type of 'amount'" in refused(graph(expressions(a="amount * 2"), request=request))
    assert "no JSON schema" in refused(graph(expressions(a="amount * 2"), request=["no"]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tree", "declared", "reason"),
    [
        (graph(expressions(a="upper(name)", b="name * 2")), Declared(), "used as BYTES and FP64"),
        (graph(expressions(a="thing")), Declared(), "may be of any type"),
        (graph(expressions(a="string(x.y)", b="x * 2")), Declared({"x.y": "BYTES"}), "an input cannot be both"),
        (graph(expressions(a="1 + 2")), Declared(), "read no input"),
        (graph(expressions(a="extract(name, 'x')")), Declared(), "--output a"),
        (graph(expressions(a="x * 2")), Declared({"y": "FP64"}), "Declared input 'y'"),
        (graph(expressions(a="x * 2")), Declared({}, {"b": "FP64"}), "Declared output 'b'"),
        (graph(expressions(a="x * 2")), Declared({"x": "FP128"}), "Datatype of input 'x'"),
        (graph(expressions(a="x * 2")), Declared({}, {}, {"c": 1.0}), "Default of output 'c'"),
        (graph(expressions(a="x * 2")), Declared({}, {}, {"a": "no"}), "is no FP64"),
        (graph(table([{"a": "> 1", "t": "1"}, {"t": "'x'"}], {"a": "x"}, {"t": "y"})), Declared(), "is FP64 in node"),
    ],
)
def test_what_is_not_known_is_asked_for_by_name(tree: Tree, declared: Declared, reason: str) -> None:
    assert reason in refused(tree, declared)


def test_what_another_version_takes_is_preferred_and_not_required() -> None:
    shape = made_package(
        encoded(discount()), Declared(preferred={"amount": "FP32", "hour": "FP32", "discount": "FP32"})
    )[2]
    assert shape.inputs == {"amount": "FP32", "country": "BYTES"}
    assert shape.outputs == {"tier": "BYTES", "discount": "FP32"}


def test_a_package_is_the_same_for_the_same_rules_and_can_be_read_back() -> None:
    one, _, _ = made_package(encoded(discount()))
    again, _, _ = made_package(json.dumps(discount(), indent=4, sort_keys=True).encode())
    assert one == again
    assert read_package(one).decision["nodes"][1]["name"] == "Table"
    for broken in (
        one[:-2],
        one.replace(b'"bailiwick.rules":"1"', b'"bailiwick.rules":"9"'),
        b'{"bailiwick.rules":"1"}',
    ):
        with pytest.raises(Corrupted):
            read_package(broken)


def test_rules_are_told_one_by_one_for_comparison() -> None:
    _, decision, _ = made_package(encoded(discount()))
    assert described(decision) == {
        "Table / r1": "amount > 100 and country 'US','CA' → tier = 'gold', discount = 0.2",
        "Table / r2": "amount > 10 → tier = 'silver', discount = amount / 1000",
        "Table / order": "r1, r2",
    }
    assert described(read_decision(encoded(graph(expressions(a="x * 2"))))) == {"Numbers / a": "x * 2"}
