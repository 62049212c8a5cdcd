"""Every form of a card says the same, whatever a text in it tries; golden files hold each form still."""

from __future__ import annotations

import json
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bailiwick.core.errors import InvalidInput
from bailiwick.governance.cards.comparison import compare, form_of
from bailiwick.governance.cards.cyclonedx import cyclonedx, purl
from bailiwick.governance.cards.licences import hugging_face, spdx
from bailiwick.governance.cards.markdown import front_matter, markdown
from bailiwick.governance.cards.model import ModelCard, content_digest, evidence, sealed
from bailiwick.governance.cards.text import text as plain_text
from tests_support.bom import complaints
from tests_support.cards import RUN, SNAPSHOT, sample

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "cards"
ATTACKS = (
    "<script>alert(1)</script>",
    "\n---\nlicense: mit\n",
    '"\nlicense: mit\n#',
    "\n# Heading\n\n- list\n\n1. one\n",
    "| a | b |\n| --- | --- |\n| c | d |",
    "![x](http://evil.example/x.png) [y](javascript:alert(1)) <http://evil.example>",
    "```\ncode\n```\n~~~\n",
    "&lt;b&gt; &#60;i&#62; *a* _b_ **c** `d` $e$ \\",
    "a\u202egnp.exe\u2066b\u200f\u061c",
    "{% include 'x' %} {{ 7 * 7 }}",
    "!!python/object/apply:os.system ['x'] &a *a",
    "\x01\x1b[31m\x7f\x85\u2028\u2029\ufeff",
    "--- \n...\n%YAML 1.1",
    "=====\n-----",
    "x" * 5000,
)
hostile = st.one_of(st.sampled_from(ATTACKS), st.text(st.characters(exclude_categories=["Cs"]), max_size=200)).map(
    lambda text: text.replace("\x00", "")
)


def written(card: ModelCard) -> dict[str, str]:
    """The forms that need no page."""
    return {
        "flights.json": json.dumps(card.to_json(), indent=2, ensure_ascii=False) + "\n",
        "flights.md": markdown(card),
        "flights.cdx.json": json.dumps(cyclonedx(card), indent=2, ensure_ascii=False) + "\n",
        "flights.txt": plain_text(card),
    }


@pytest.mark.parametrize("name", ["flights.json", "flights.md", "flights.cdx.json", "flights.txt"])
def test_each_form_is_what_the_golden_file_holds(name: str) -> None:
    found = written(sample())[name]
    if os.environ.get("BAILIWICK_WRITE_GOLDEN"):
        (GOLDEN / name).write_text(found, encoding="utf-8")
    assert found == (GOLDEN / name).read_text(encoding="utf-8")


class TestDigest:
    """A card is bound to what it says."""

    def test_equal_content_has_an_equal_digest_and_any_other_has_not(self) -> None:
        assert sample().digest == sample().digest
        assert sample().digest != sample(lambda text: text.replace("ada", "eve")).digest

    def test_the_json_read_back_has_the_digest_it_names(self) -> None:
        document = json.loads(written(sample())["flights.json"])
        assert content_digest(document) == document["digest"] == sample().digest

    @given(hostile)
    @settings(max_examples=40, deadline=None)
    def test_it_does_whatever_the_texts_hold(self, said: str) -> None:
        card = sample(lambda text: text + said)
        document = json.loads(json.dumps(card.to_json()))
        assert content_digest(document) == card.digest

    def test_a_card_is_as_new_as_its_newest_fact(self) -> None:
        assert sample().as_of == max(each.source.time or 0 for each in sample().answers)

    def test_evidence_lists_what_nobody_has_stated(self) -> None:
        assert evidence(sample()) == {"card": False, "card_missing": ["contact"]}
        assert evidence(sealed(ModelCard("default", "m", 1, "", 0))) == {"card": True}


class TestMarkdown:
    """Front matter that `huggingface_hub` reads, and a body in which nothing but ours is markup."""

    def test_the_front_matter_names_results_for_all_rows_and_each_slice(self) -> None:
        [index] = front_matter(sample())["model-index"]
        assert index["name"] == "flights"
        assert [result["dataset"].get("config") for result in index["results"]] == [
            None,
            "origin = JFK",
            "origin = LGA",
            "origin = (missing)",
        ]
        first = index["results"][0]
        assert first["task"] == {"type": "tabular-classification"}
        assert first["dataset"]["args"] == {"snapshot": SNAPSHOT}
        assert [metric["type"] for metric in first["metrics"]] == ["roc_auc", "log_loss"]
        assert first["metrics"][0]["args"] == {
            "rows": 2000,
            "low": 0.68,
            "high": 0.74,
            "interval": "95 % Hanley-McNeil",
        }

    @given(hostile)
    @settings(max_examples=80, deadline=None)
    def test_the_front_matter_reads_back_as_it_was_whatever_the_texts_hold(self, said: str) -> None:
        card = sample(lambda text: said + text)
        header, _ = split(markdown(card))
        assert yaml.safe_load(header) == front_matter(card)
        assert header.isascii()

    @given(hostile)
    @settings(max_examples=80, deadline=None)
    def test_no_text_adds_markup_to_the_body(self, said: str) -> None:
        assert structure(markdown(sample(lambda text: said + text))) == structure(markdown(sample()))

    def test_huggingface_hub_reads_the_same(self) -> None:
        repocard = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
        for said in ("", *ATTACKS):
            card = sample(partial(_with, said))
            found = repocard.ModelCard(markdown(card))
            data = found.data.to_dict()
            assert data["model-index"] == front_matter(card)["model-index"]
            assert data["license"] == front_matter(card)["license"]
            results = found.data.eval_results
            assert [(each.metric_type, each.metric_value) for each in results] == [
                (each.name, each.value) for each in card.metrics if each.value is not None
            ]
            assert {each.dataset_name for each in results} == {card.datasets[0].name}
            assert {each.metric_args["rows"] for each in results} == {2000, 900, 1100, 120}

    def test_a_card_of_which_nothing_is_known_has_no_index(self) -> None:
        bare = sealed(ModelCard("default", "m", 1, "", 0))
        assert "model-index" not in front_matter(bare)
        assert "license" not in front_matter(bare)

    def test_a_licence_is_named_as_the_hub_names_it(self) -> None:
        assert [hugging_face(text) for text in ("Apache-2.0", "mit", "GPL-3.0-only", "0BSD", "ask us")] == [
            "apache-2.0",
            "mit",
            "gpl-3.0",
            "other",
            "other",
        ]
        assert (spdx("APACHE-2.0"), spdx("Apache 2")) == ("Apache-2.0", "")


def _with(said: str, text: str) -> str:
    return text + said


def split(page: str) -> tuple[str, str]:
    """Front matter and body, cut where the hub cuts: at the first line of three hyphens after the first."""
    assert page.startswith("---\n")
    found = re.search(r"(\r\n|\r|\n)---[ \t]*(\r\n|\n|$)", page[4:])
    assert found
    return page[4 : 4 + found.start()], page[4 + found.end() :]


def structure(page: str) -> list[str]:
    """Blocks of the body but for paragraphs, of which a statement may have several, and every kind of inline markup."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(split(page)[1])
    blocks = [token.type for token in tokens if token.type not in {"inline", "paragraph_open", "paragraph_close"}]
    inline = {child.type for token in tokens for child in token.children or ()} - {"softbreak", "hardbreak"}
    return [*blocks, *sorted(inline)]


class TestCycloneDx:
    """Valid against the official schema, and the same for the same card."""

    def test_the_bom_of_a_card_is_valid(self) -> None:
        assert complaints(cyclonedx(sample())) == []

    def test_the_schema_would_notice(self) -> None:
        bom = cyclonedx(sample())
        bom["metadata"]["component"]["modelCard"]["modelParameters"]["approach"]["type"] = "guessed"
        assert len(complaints(bom)) == 1

    def test_the_bom_of_a_card_of_which_nothing_is_known_is_valid(self) -> None:
        assert complaints(cyclonedx(sealed(ModelCard("default", "m", 1, "", 0)))) == []

    @given(hostile)
    @settings(max_examples=40, deadline=None)
    def test_it_is_valid_whatever_the_texts_hold(self, said: str) -> None:
        bom = cyclonedx(sample(lambda text: said + text))
        assert complaints(bom) == []
        assert json.loads(json.dumps(bom)) == bom
        references = [each["bom-ref"] for each in [bom["metadata"]["component"], *bom["components"]]]
        assert len(references) == len(set(references))
        assert {each["ref"] for each in bom["dependencies"]} == set(references)

    def test_it_depends_on_data_and_packages(self) -> None:
        bom = cyclonedx(sample())
        assert bom["dependencies"][0] == {
            "ref": "version/flights/3",
            "dependsOn": [
                f"snapshot/{SNAPSHOT}",
                "pkg:pypi/lightgbm@4.7.0",
                "pkg:pypi/numpy@2.3.5",
                "pkg:pypi/some-thing-else@1",
            ],
        }
        licences = [each.get("licenses") for each in bom["components"]]
        assert licences == [
            None,
            [{"license": {"id": "MIT"}}],
            [{"expression": "BSD-3-Clause AND 0BSD AND MIT"}],
            None,
        ]

    def test_statements_are_considerations_and_facts_have_their_provenance(self) -> None:
        component = cyclonedx(sample())["metadata"]["component"]
        considerations = component["modelCard"]["considerations"]
        assert considerations["technicalLimitations"] == [
            "Limitations of the model.",
            "Out of scope: Out of scope of the model.",
        ]
        assert considerations["ethicalConsiderations"] == [
            {"name": "Ethical considerations of the model.", "mitigationStrategy": "Human oversight of the model."}
        ]
        properties = {each["name"]: each["value"] for each in component["properties"]}
        assert properties["bailiwick:parity:max_error"] == "2.1e-07"
        assert properties["bailiwick:provenance:parity:max_error"].startswith(
            f"provenance=measured; record=pipeline_run/{RUN}/evaluate; identity=u-ada; time=2014-01-01T00:01:00.000Z"
        )
        assert properties["bailiwick:card-complete"] == "no: Contact"

    def test_equal_cards_have_equal_boms_and_serial_numbers(self) -> None:
        assert cyclonedx(sample()) == cyclonedx(sample())
        other = sample(lambda text: text.replace("ada", "eve"))
        assert cyclonedx(other)["serialNumber"] != cyclonedx(sample())["serialNumber"]

    def test_a_package_url_is_normalised(self) -> None:
        assert purl("Scikit_Learn..x", "1.0+cpu/é") == "pkg:pypi/scikit-learn-x@1.0%2Bcpu%2F%C3%A9"


class TestText:
    """For terminals."""

    @given(hostile)
    @settings(max_examples=60, deadline=None)
    def test_nothing_reaches_a_terminal_that_it_would_obey(self, said: str) -> None:
        page = plain_text(sample(lambda text: said + text))
        assert [letter for letter in page if ord(letter) < 32 and letter not in "\n\t"] == []
        assert not set(page) & set("\x7f\x85\x9b\u2028\u202e\u2066")


class TestComparison:
    """A saved card is held against what is known now."""

    def held(self, card: ModelCard, data: str) -> Any:
        form = form_of(data.encode())
        names = {
            "json": "flights.json",
            "markdown": "flights.md",
            "cyclonedx": "flights.cdx.json",
            "text": "flights.txt",
        }
        return compare(card, data.encode(), form=form, written=written(card)[names[form]])

    @pytest.mark.parametrize("name", sorted(written(sample())))
    def test_a_card_that_was_just_saved_says_what_is_known(self, name: str) -> None:
        found = self.held(sample(), written(sample())[name])
        assert (found.same, found.edited, found.differences) == (True, False, ())

    @pytest.mark.parametrize("name", sorted(written(sample())))
    def test_what_has_changed_since_is_listed(self, name: str) -> None:
        now = sample(lambda text: text.replace("Out of scope of the model.", "Deciding about people."))
        found = self.held(now, written(sample())[name])
        assert not found.same
        assert not found.edited
        changed = [each for each in found.differences if "Out of scope of the model" in str(each.saved)]
        assert changed
        assert all("Deciding about people" in str(each.now) for each in changed)

    @pytest.mark.parametrize("name", sorted(written(sample())))
    def test_a_file_that_somebody_edited_is_called_that(self, name: str) -> None:
        found = self.held(sample(), written(sample())[name].replace("0.53", "0.13"))
        assert found.edited
        assert not found.same

    def test_a_list_that_grew_moves_nothing_else(self) -> None:
        card = sample()
        grown = sealed(
            ModelCard(**{name: getattr(card, name) for name in ModelCard.__slots__} | {"packages": card.packages[1:]})
        )
        found = self.held(grown, written(card)["flights.json"])
        assert {each.path.partition(".")[0] for each in found.differences} == {"packages[lightgbm]", "digest"}

    @pytest.mark.parametrize(
        "data", [b"\xff\xfe", b"", b"{", b"[1]", b'{"a": 1}', b"---\n---\n", b"<!doctype html><p>x", b"{" * 5000]
    )
    def test_what_is_no_card_is_refused(self, data: bytes) -> None:
        with pytest.raises(InvalidInput, match="not "):
            compare(sample(), data, form=form_of(data), written=written(sample())["flights.json"])

    def test_the_card_of_another_version_is_refused(self) -> None:
        other = sealed(ModelCard("default", "flights", 4, "", 0))
        for page in written(other).values():
            with pytest.raises(InvalidInput, match=r"the card of 'flights, version 4', not of 'flights, version 3'"):
                self.held(sample(), page)
