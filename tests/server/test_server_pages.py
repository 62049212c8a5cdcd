"""Pages: every one renders, with and without a history; nothing in a record becomes markup; no link is dead."""

from __future__ import annotations

from urllib.parse import quote, urldefrag

import pytest
from tests.server.conftest import ClientOf

from bailiwick.core.actor import Actor
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.ui import links
from bailiwick.server.ui.forms import FORMS
from bailiwick.server.ui.pages import NOTICES, PAGES
from tests_support.control import TestClient
from tests_support.html import OURS, Page
from tests_support.populated import FILES, HOSTILE, Story

LISTINGS = [page.path for page in PAGES if "{" not in page.path]


def pages_of(story: Story) -> list[str]:
    ids, name = story.ids, quote(story.ids["hostile_model"], safe="")
    return [
        *LISTINGS,
        "/endpoints/late",
        "/endpoints/diverted",
        "/monitor/late",
        "/monitor/diverted",
        f"/rollouts/{ids['rollout']}",
        f"/rollouts/{ids['rolled_back']}",
        "/models/flights",
        "/models/flights/versions/1",
        "/models/flights/versions/3",
        "/models/flights/versions/1/card",
        f"/models/{name}/versions/1/card",
        f"/models/{name}",
        f"/models/{name}/versions/1",
        *(f"/pipelines/{ids[run]}" for run in ("pipeline_run", "cached_run", "failed_run", "waiting_run")),
        f"/runs/{ids['run']}",
        f"/runs/{ids['hostile_run']}",
        f"/runs/{ids['tracked_run']}",
        f"/runs/{ids['tracked_run']}?metric=loss&axis=time&log=1&find=o",
        f"/runs/{ids['tracked_run']}/files",
        *(f"/runs/{ids['tracked_run']}/files?path={quote(path)}" for path in (*FILES, "plots", "none")),
        f"/experiments/{ids['experiment']}",
        f"/experiments/{ids['experiment']}?open={ids['tracked_run']}",
        f"/experiments/{ids['experiment']}?filter=metrics.loss+%3E",
        f"/experiments/{ids['experiment']}?parts=all&order=metric.val/auc+DESC&view=ALL",
        f"/experiments/{ids['experiment']}?columns=chosen&column=tag.team&column=param.lr",
        f"/experiments/{ids['experiment']}/models",
        f"/logged-models/{ids['logged_model']}",
        f"/logged-models/{ids['logged_model']}/files?path=MLmodel",
        f"/compare?run={ids['part_0']}&run={ids['part_1']}&run={ids['part_2']}&all=1",
        f"/compare?run={ids['tracked_run']}&run={ids['hostile_run']}",
        "/models/tracked",
        "/models/tracked/versions/2",
        "/models/tracked/compare",
        "/models/flights/compare?left=1&right=3&all=1",
        f"/data/{ids['snapshot']}",
        f"/data/{ids['wide']}",
        f"/data/{ids['wide']}?against={ids['wide_before']}&sort=missing&only=drifted&find=s",
        f"/data/{ids['wide']}?against={ids['snapshot']}&find={quote(HOSTILE)}",
        f"/data/{ids['wide']}?against={quote(HOSTILE)}&from=100",
        f"/journal/{story.platform.journal.entries('default', limit=1)[0].id}",
        f"/runs?experiment={quote(HOSTILE)}",
        "/journal?action=endpoint.deployed",
        f"/journal?resource={quote(HOSTILE)}",
    ]


@pytest.mark.parametrize("path", LISTINGS)
def test_an_empty_platform_says_what_to_do_next(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert Page(answer.text).faults == []
    if path not in {"/journal", "/"}:
        assert 'class="empty"' in answer.text
        assert "<code>bailiwick" in answer.text or 'href="' in answer.text


def test_a_new_platform_is_welcomed_with_the_first_command(client: TestClient) -> None:
    assert "bailiwick demo" in client.get("/").text


def test_every_page_of_a_platform_with_a_history_is_well_formed(story: Story, populated: TestClient) -> None:
    for path in pages_of(story):
        answer = populated.get(path)
        page = Page(answer.text)
        assert answer.status_code == 200, path
        assert page.faults == [], path
        assert page.headings.count("h1") == 1, path
        assert len(page.ids) == len(set(page.ids)), path


def test_nothing_in_a_record_becomes_markup(story: Story, populated: TestClient) -> None:
    for path in pages_of(story):
        assert "<script>alert" not in populated.get(path).text, path
    assert "&lt;script&gt;alert" in populated.get(f"/runs/{story.ids['hostile_run']}").text


def test_no_link_is_dead(story: Story, populated: TestClient) -> None:
    waiting, seen = ["/"], {"/"}
    while waiting:
        path = waiting.pop()
        answer = populated.get(path)
        if answer.status_code == 303:
            answer = populated.get(urldefrag(answer.headers["Location"]).url)
        assert answer.status_code == 200, path
        if not answer.headers["Content-Type"].startswith("text/html") or len(seen) > 400:
            continue
        page = Page(answer.text)
        for link in page.links:
            target, fragment = urldefrag(link)
            assert target or fragment in page.ids, (path, link)
            if target.startswith("/") and not target.startswith("/journal") and target not in seen:
                seen.add(target)
                waiting.append(target)
    assert len(seen) > 40


def test_ids_in_the_journal_lead_to_pages(story: Story, populated: TestClient) -> None:
    entries = story.platform.journal.entries("default", limit=300)
    for target in {urldefrag(links.resource(entry.resource)).url for entry in entries}:
        assert populated.get(target).status_code in {200, 303}, target


def test_the_pages_say_what_happened(story: Story, populated: TestClient) -> None:
    overview = populated.get("/").text
    assert "flights v3 asks for production" in overview
    assert "Canary of flights v2 on late" in overview
    assert "Pipeline train-flights-broken failed" in overview
    assert "Sealed to size" in populated.get("/journal").text
    rollout = populated.get(f"/rollouts/{story.ids['rollout']}").text
    assert "Stepped up" in rollout
    assert "needs 125" in rollout
    assert "Reused from" in populated.get(f"/pipelines/{story.ids['cached_run']}").text
    assert "A storm front" in populated.get("/monitor/late").text


def test_the_journal_is_read_in_pages(populated: TestClient) -> None:
    first = populated.get("/journal")
    older = next(link for link in Page(first.text).links if link.startswith("/journal?before="))
    second = populated.get(older)
    assert second.status_code == 200
    assert "Newest" in second.text
    assert populated.get("/journal?before=nonsense").status_code == 404


def test_headers_that_browsers_obey_are_on_every_answer(populated: TestClient) -> None:
    for path in ("/", "/nope", "/static/style.css", "/api/v1/models", "/api/v1/nope", "/health"):
        headers = populated.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Cache-Control" in headers


def test_static_files_are_kept_by_the_browser_under_their_digest(client: TestClient) -> None:
    page = client.get("/").text
    address = next(link for link in Page(page).links if "style.css" in link)
    assert "immutable" in client.get(address).headers["Cache-Control"]
    assert client.get("/static/style.css").headers["Cache-Control"] == "no-cache"
    assert client.get("/static/../shell.py").status_code == 404
    assert client.get("/static/%2e%2e/shell.py").status_code == 404


def test_a_page_that_is_not_there_leads_on(client: TestClient) -> None:
    for path in (
        "/nope",
        "/models/none",
        "/rollouts/x",
        "/pipelines/x",
        "/endpoints/x",
        "/journal/x",
        "/models/a/versions/b",
    ):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.headers["Content-Type"].startswith("text/html")
        assert 'href="/endpoints"' in answer.text
    assert client.get("/models/a%00b").status_code == 400


def test_a_viewer_sees_no_journal_and_no_buttons(
    platform: Platform, as_remote: ClientOf, tokens: dict[str, str]
) -> None:
    viewer = as_remote(tokens["viewer"])
    overview = viewer.get("/").text
    assert "Recent activity" not in overview
    assert 'href="/journal"' not in overview
    assert viewer.get("/journal").status_code == 403


class TestForms:
    """Posts from our pages, each on records of its own."""

    def test_a_form_from_anywhere_else_is_refused(self, client: TestClient) -> None:
        for form in FORMS:
            path = form.path.format(
                **dict.fromkeys(
                    [
                        "request",
                        "alarm",
                        "rollout",
                        "run",
                        "model",
                        "webhook",
                        "delivery",
                        "experiment",
                        "logged_model",
                        "alias",
                        "stage",
                        "workspace",
                    ],
                    "x",
                ),
                number=1,
            )
            assert client.post(path, data={"comment": "x"}).status_code == 403
            assert (
                client.post(path, data={"comment": "x"}, headers={"Origin": "https://evil.example"}).status_code == 403
            )
            assert client.post(path, json={}, headers=OURS).status_code == 400

    def test_every_notice_a_form_leads_to_is_written(self) -> None:
        assert {
            "approved",
            "rejected",
            "acknowledged",
            "aborted",
            "cancelled",
            "resumed",
            "stated",
            "withdrawn",
        } <= set(NOTICES)

    def test_approving_from_the_page_approves(self, platform: Platform, client: TestClient, admin: Actor) -> None:
        request = _request(platform, admin)
        answer = client.post(f"/approvals/{request}/approve", data={"comment": "fine"}, headers=OURS)
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/models/flights/versions/1?done=approved"
        assert "Approved." in client.get(answer.headers["Location"]).text
        assert platform.governance.request_by_id("default", request).status == "APPROVED"

    def test_rejecting_needs_a_reason(self, platform: Platform, client: TestClient, admin: Actor) -> None:
        request = _request(platform, admin)
        refused = client.post(f"/approvals/{request}/reject", data={"comment": " "}, headers=OURS)
        assert refused.status_code == 400
        assert "Say why" in refused.text
        done = client.post(f"/approvals/{request}/reject", data={"comment": "slices look bad"}, headers=OURS)
        assert done.status_code == 303
        assert "slices look bad" in client.get("/models/flights/versions/1").text

    def test_a_person_without_the_permission_is_told_so(
        self, platform: Platform, as_remote: ClientOf, tokens: dict[str, str], admin: Actor
    ) -> None:
        request = _request(platform, admin)
        viewer = as_remote(tokens["viewer"])
        assert "Approve</button>" not in viewer.get("/approvals").text
        origin = {"Origin": "http://control.example:8600"}
        answer = viewer.post(f"/approvals/{request}/approve", data={"comment": ""}, headers=origin)
        assert answer.status_code == 403
        assert "models.approve" in answer.text

    def test_text_that_no_record_can_keep_is_refused(self, client: TestClient) -> None:
        for data in ("comment=%00", "comment=%FF", "comment=" + "a" * 2001, "&".join(f"f{n}=1" for n in range(30))):
            headers = {**OURS, "Content-Type": "application/x-www-form-urlencoded"}
            assert client.post("/approvals/x/approve", content=data, headers=headers).status_code == 400


def _request(platform: Platform, admin: Actor) -> str:
    version = platform.registry.register(
        admin,
        "flights",
        package=platform.blobs.put(b"onnx"),
        run_id="",
        snapshot="",
        signature={},
        metrics={"roc_auc": 0.7},
        slices={},
        parity={},
        environment={},
        code_version="",
        parameters={},
    )
    request = platform.governance.request(
        admin, "flights", version.number, "production", author=admin.identity, evidence={}
    )
    return request.id


def test_pages_stay_small(populated: TestClient) -> None:
    for path in ("/", "/models", "/endpoints/late", "/monitor/late"):
        assert len(populated.get(path).content) < 150_000
