"""The card over HTTP, on its page and as a file of HTML: every form, every text escaped, statements made and taken back."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.server.conftest import ClientOf

from bailiwick.core.actor import Actor
from bailiwick.core.errors import InvalidInput
from bailiwick.governance.cards.comparison import compare, form_of
from bailiwick.governance.cards.fields import REQUIRED
from bailiwick.governance.cards.forms import FORMS, accepted_form, card_form
from bailiwick.governance.cards.model import ModelCard, content_digest, sealed
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.cards import WRITERS
from bailiwick.server.ui.card_file import card_file
from tests_support.bom import complaints
from tests_support.cards import sample
from tests_support.control import TestClient
from tests_support.populated import HOSTILE, Story

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "cards" / "flights.html"
OURS = {"Origin": "http://127.0.0.1:8600"}
CARD = "/api/v1/models/flights/versions/1/card"
STATEMENTS = "/api/v1/models/flights/statements"
ATTACKS = (
    HOSTILE,
    "</style></title></textarea></script><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x=\'',
    "<!-- --><![CDATA[ ]]><?php ?>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;script&gt;&#x3c;b&#62;",
    "\u202eevil\u2066\u200f",
    "\x01\x1b[31m\x85\u2028",
    "javascript:alert(1)",
    "x" * 5000,
)
hostile = st.one_of(st.sampled_from(ATTACKS), st.text(st.characters(exclude_categories=["Cs"]), max_size=200)).map(
    lambda text: text.replace("\x00", "")
)


class Elements(HTMLParser):
    """Every element but paragraphs (a statement may have several) with the names of its attributes, and what it says."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.addresses: list[str] = []
        self.said = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "p":
            self.found.append((tag, tuple(name for name, _ in attrs)))
        self.addresses += [str(value) for name, value in attrs if name in {"href", "src", "action"}]

    def handle_data(self, data: str) -> None:
        self.said += data

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment", (data,)))

    def handle_decl(self, decl: str) -> None:
        self.found.append(("declaration", (decl,)))

    def handle_pi(self, data: str) -> None:
        self.found.append(("instruction", (data,)))


class TestFile:
    """The file of HTML."""

    def test_it_is_what_the_golden_file_holds_apart_from_its_style(self) -> None:
        found = re.sub(r"<style>.*?</style>", "<style></style>", card_file(sample()), flags=re.DOTALL)
        if os.environ.get("BAILIWICK_WRITE_GOLDEN"):
            GOLDEN.write_text(found, encoding="utf-8")
        assert found == GOLDEN.read_text(encoding="utf-8")

    def test_it_fetches_nothing_and_runs_nothing(self) -> None:
        page = card_file(sample())
        told = Elements(page)
        assert {tag for tag, _ in told.found} & {"script", "link", "img", "iframe", "object", "form", "a"} == set()
        assert told.addresses == []
        assert "default-src 'none'" in page
        assert "url(" not in page
        assert "@import" not in page

    @given(hostile)
    @settings(max_examples=40, deadline=None)
    def test_no_text_adds_an_element_or_an_attribute(self, said: str) -> None:
        page = card_file(sample(lambda text: said + text))
        assert Elements(page).found == Elements(card_file(sample())).found

    def test_what_was_said_is_there_to_read(self) -> None:
        told = Elements(card_file(sample(lambda text: text + HOSTILE))).said
        assert f"Limitations of the model.{HOSTILE}" in told
        assert "a | b" in told
        assert "How far these may be off is not known" in told

    def test_a_card_of_which_nothing_is_known_has_a_file(self) -> None:
        page = card_file(sealed(ModelCard("default", "m", 1, "", 0, unanswered=REQUIRED, missing=REQUIRED)))
        assert "6 required statements missing" in page
        assert "No metric was recorded." in page

    def test_it_is_held_against_what_is_known_now(self) -> None:
        saved = card_file(sample())
        assert form_of(saved.encode()) == "html"
        assert compare(sample(), saved.encode(), form="html", written=saved).same
        now = sample(lambda text: text.replace("Limitations of the model.", "Weak at night."))
        found = compare(now, saved.encode(), form="html", written=card_file(now))
        assert [(each.saved, each.now) for each in found.differences if "Limitations" in str(each.saved)] == [
            ("Limitations of the model.", "Weak at night.")
        ]
        edited = compare(sample(), saved.replace("0.53", "0.13").encode(), form="html", written=saved)
        assert edited.edited
        other = card_file(sealed(ModelCard("default", "flights", 4, "", 0)))
        with pytest.raises(InvalidInput, match="flights, version 4"):
            compare(sample(), other.encode(), form="html", written=saved)


class TestApi:
    """`GET …/card` and the statements."""

    def test_the_card_is_json_with_the_digest_of_its_content(self, populated: TestClient) -> None:
        answer = populated.get(CARD)
        card = answer.json()
        assert content_digest(card) == card["digest"]
        assert answer.headers["ETag"] == f'"{card["digest"]}-json"'
        assert (card["model"], card["number"]) == ("flights", 1)

    @pytest.mark.parametrize("name", sorted(FORMS))
    def test_each_form_is_asked_for_by_name_or_by_accept(self, populated: TestClient, name: str) -> None:
        named = populated.get(CARD, params={"format": name})
        assert named.headers["Content-Type"].partition(";")[0] == FORMS[name].media_type.partition(";")[0]
        assert FORMS[name].suffix in named.headers["Content-Disposition"]
        accepted = populated.get(CARD, headers={"Accept": FORMS[name].media_type})
        assert accepted.content == named.content

    def test_html_is_handed_over_as_a_file(self, populated: TestClient) -> None:
        answer = populated.get(CARD, params={"format": "html"})
        assert answer.headers["Content-Disposition"] == 'attachment; filename="flights-v1-card.html"'

    def test_a_format_that_there_is_not_is_refused_with_those_there_are(self, populated: TestClient) -> None:
        answer = populated.get(CARD, params={"format": "pdf"})
        assert answer.status_code == 400
        assert populated.get("/api/v1/models/flights/versions/99/card").status_code == 404
        with pytest.raises(InvalidInput, match="html, json"):
            card_form("pdf")

    def test_the_best_of_what_is_accepted_is_given(self) -> None:
        assert accepted_form("").name == "json"
        assert accepted_form("*/*").name == "json"
        assert accepted_form("text/html;q=0.2, text/markdown;q=0.9").name == "markdown"
        assert accepted_form("text/html;q=0, image/png").name == "json"
        assert accepted_form("text/html;q=x, text/plain").name == "text"

    def test_every_bom_of_the_story_is_valid(self, story: Story, populated: TestClient) -> None:
        for model, number in (("flights", 1), ("flights", 3), (story.ids["hostile_model"], 1)):
            path = f"/api/v1/models/{model}/versions/{number}/card".replace("<", "%3C").replace(">", "%3E")
            bom = populated.get(path, params={"format": "cyclonedx"}).json()
            assert complaints(bom) == []

    def test_a_statement_is_made_inherited_and_taken_back(
        self, platform: Platform, client: TestClient, admin: Actor
    ) -> None:
        _register(platform, admin)
        said = client.put(f"{STATEMENTS}/limitations", json={"text": "Weak at night."})
        assert (said.status_code, said.json()["field"], said.json()["number"]) == (200, "limitations", None)
        client.put(f"{STATEMENTS}/limitations", json={"text": "Weak by day.", "number": 1})
        of_version = client.get(STATEMENTS, params={"number": 1}).json()
        assert [each["text"] for each in of_version["items"]] == ["Weak by day."]
        assert "limitations" not in of_version["missing"]
        assert [each["text"] for each in client.get(STATEMENTS).json()["items"]] == ["Weak at night."]
        card = client.get(CARD).json()
        assert [(each["text"], each["scope"]) for each in card["answers"]] == [("Weak by day.", "version")]
        assert card["answers"][0]["source"]["entry"]
        gone = client.delete(f"{STATEMENTS}/limitations", params={"number": 1})
        assert (gone.status_code, gone.json()["text"]) == (200, "")
        assert client.get(CARD).json()["answers"][0]["text"] == "Weak at night."
        assert client.delete(f"{STATEMENTS}/limitations", params={"number": 1}).status_code == 404
        first = client.get(f"{STATEMENTS}/history", params={"limit": 2}).json()
        rest = client.get(f"{STATEMENTS}/history", params={"limit": 2, "before": first["next"]}).json()
        assert [each["text"] for each in [*first["items"], *rest["items"]]] == ["", "Weak by day.", "Weak at night."]
        assert rest["next"] is None

    def test_what_cannot_be_stated_is_refused(self, platform: Platform, client: TestClient, admin: Actor) -> None:
        _register(platform, admin)
        assert client.put(f"{STATEMENTS}/limitation", json={"text": "x"}).status_code == 400
        assert client.put(f"{STATEMENTS}/limitations", json={"text": " "}).status_code == 400
        assert client.put(f"{STATEMENTS}/limitations", json={"text": "x" * 10_001}).status_code == 413
        assert client.put(f"{STATEMENTS}/limitations", json={"text": "x", "number": 9}).status_code == 404
        assert client.put(f"{STATEMENTS}/limitations", json={"text": "x", "by": "me"}).status_code == 400
        assert client.get(STATEMENTS, params={"number": 9}).status_code == 404
        assert client.get(f"{STATEMENTS}/history", params={"field": "limitation"}).status_code == 400


class TestPage:
    """The card's page, and the forms on it."""

    def test_it_shows_what_is_known_and_what_is_not(self, populated: TestClient) -> None:
        page = populated.get("/models/flights/versions/1/card").text
        told = Elements(page).said
        assert "No quality gate is known to have judged it." in told
        assert "Reviewed the slices; good to go." in told
        assert f'href="{CARD}?format=cyclonedx"' in page.replace("&amp;", "&")

    def test_stating_from_the_page_states(self, platform: Platform, client: TestClient, admin: Actor) -> None:
        _register(platform, admin)
        path = "/models/flights/versions/1/card"
        form = {"field": "contact", "text": "Ada\r\nGrace", "scope": "model", "act": "state"}
        answer = client.post(path, data=form, headers=OURS)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"{path}?done=stated#field-contact")
        assert platform.statements.statements("default", "flights")["contact"].text == "Ada\nGrace"
        client.post(path, data={**form, "text": "Grace", "scope": "version"}, headers=OURS)
        assert "Grace" in client.get(path).text
        gone = client.post(path, data={**form, "scope": "version", "act": "withdraw"}, headers=OURS)
        assert gone.headers["Location"] == f"{path}?done=withdrawn"
        assert [each.text for each in platform.statements.history("default", "flights")] == ["", "Grace", "Ada\nGrace"]

    def test_a_form_that_says_nothing_is_refused(self, platform: Platform, client: TestClient, admin: Actor) -> None:
        _register(platform, admin)
        path = "/models/flights/versions/1/card"
        assert client.post(path, data={"field": "contact", "text": " "}, headers=OURS).status_code == 400
        assert client.post(path, data={"field": "nothing", "text": "x"}, headers=OURS).status_code == 400
        assert client.post("/models/flights/versions/9/card", data={"field": "contact"}, headers=OURS).status_code in {
            400,
            404,
        }

    def test_a_viewer_reads_the_card_and_states_nothing(
        self, platform: Platform, as_remote: ClientOf, tokens: dict[str, str], admin: Actor
    ) -> None:
        _register(platform, admin)
        viewer = as_remote(tokens["viewer"])
        page = viewer.get("/models/flights/versions/1/card")
        assert page.status_code == 200
        assert "<textarea" not in page.text
        origin = {"Origin": "http://control.example:8600"}
        data = {"field": "contact", "text": "me", "scope": "model", "act": "state"}
        assert viewer.post("/models/flights/versions/1/card", data=data, headers=origin).status_code == 403


def _register(platform: Platform, admin: Actor) -> None:
    platform.registry.register(
        admin,
        "flights",
        package=platform.blobs.put(b"onnx"),
        run_id="",
        snapshot="",
        signature={},
        metrics={},
        slices={},
        parity={},
        environment={},
        code_version="",
        parameters={},
    )


def test_every_form_has_a_writer() -> None:
    assert set(WRITERS) == set(FORMS)


def test_every_form_of_the_same_card_is_the_same_twice(populated: TestClient) -> None:
    for name in FORMS:
        first, again = (populated.get(CARD, params={"format": name}).content for _ in range(2))
        assert first == again
    assert json.loads(populated.get(CARD).content)["format"] == 1
