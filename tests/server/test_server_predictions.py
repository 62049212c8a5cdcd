"""Past predictions over HTTP and on pages: found, shown, explained, only to those who may see them."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn

from bailiwick.core.actor import Actor, Permission
from bailiwick.endpoints.service import EndpointService
from bailiwick.server.asgi import create_app
from tests_support.control import TestClient, local
from tests_support.explained import BOOSTED, Served
from tests_support.looks import CONTRAST, SCHEMES, WIDTHS, Scheme

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("served"), BOOSTED, sqlite_template)
    for number in range(30):
        made.answer(f"p{number:02}", 1.5 - number / 10, ("AT", "CH", "BE")[number % 3])
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[TestClient]:
    with local(create_app(served.platform)) as opened:
        yield opened


def test_predictions_are_listed_in_pages_and_by_filters(client: TestClient) -> None:
    first = client.get("/api/v1/predictions", params={"endpoint": "fraud", "limit": 12}).json()
    second = client.get("/api/v1/predictions", params={"endpoint": "fraud", "limit": 12, "after": first["next"]}).json()
    third = client.get("/api/v1/predictions", params={"limit": 12, "after": second["next"]}).json()
    ids = [each["id"] for page in (first, second, third) for each in page["items"]]
    assert sorted(ids) == [f"p{number:02}:0" for number in range(30)]
    assert third["next"] == ""
    assert all(each["inputs"] == {} for each in first["items"])
    assert client.get("/api/v1/predictions", params={"unit": "nobody"}).json()["items"] == []
    assert client.get("/api/v1/predictions", params={"status": 200, "version": 1}).json()["items"]
    assert client.get("/api/v1/predictions", params={"after": "x"}).status_code == 400
    assert client.get("/api/v1/predictions", params={"endpoint": "gone"}).status_code == 404


def test_one_prediction_has_version_lineage_approvals_and_on_request_why(client: TestClient) -> None:
    told = client.get("/api/v1/predictions/p00:0", params={"explain": "shap,neighbours"}).json()
    assert told["prediction"]["inputs"] == {"amount": 1.5, "country": "AT"}
    assert told["version"]["number"] == 1
    assert {node["kind"] for node in told["lineage"]["nodes"]} >= {"snapshot", "run"}
    assert told["approvals"][0]["target"] == "production"
    shap = told["explanation"]["shap"]
    assert shap["base"] + sum(each["value"] for each in shap["contributions"]) == pytest.approx(shap["reached"])
    assert len(told["explanation"]["neighbours"]["items"]) == 5
    assert told["explanation"]["counterfactuals"] is None
    asked = {"kinds": ["counterfactuals"], "constraints": {"immutable": ["country"], "directions": {"amount": "down"}}}
    made = client.post("/api/v1/predictions/p00:0/explanations", json=asked).json()
    assert [each["column"] for one in made["counterfactuals"]["items"] for each in one["changes"]] == ["amount"]
    assert client.post("/api/v1/predictions/p00:0/explanations", json={"kinds": ["lime"]}).status_code == 400
    assert client.get("/api/v1/predictions/gone:0").status_code == 404


def test_looking_is_journalled_where_inputs_are_personal(
    served: Served, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def entries() -> list[str]:
        found = served.platform.journal.entries("default", limit=1_000)
        return [each.action for each in found if each.action.startswith("prediction.")]

    client.get("/api/v1/predictions/p01:0")
    assert entries() == []
    marked = frozenset({"amount"})
    monkeypatch.setattr(EndpointService, "_marked", lambda *_: marked)
    served.platform.endpoints.deploy(
        Actor("u-admin", "admin", "default", frozenset(Permission)),
        "fraud",
        model="fraud",
        version=1,
        package=served.version.package,
        key="payer",
    )
    try:
        client.get("/api/v1/predictions/p01:0")
        client.get("/api/v1/predictions")
        assert entries() == ["prediction.listed", "prediction.read"]
    finally:
        with served.platform.database.write() as connection:
            connection.exec_driver_sql("UPDATE endpoints SET recording = '{}', key = 'customer'")


def test_the_policy_is_set_over_http(served: Served, client: TestClient) -> None:
    said = {"share": 5_000, "omitted": ["country"], "reason": "less"}
    changed = client.put("/api/v1/endpoints/fraud/recording", json=said).json()
    assert changed["recording"] == {"share": 5_000, "omitted": ["country"]}
    assert client.put("/api/v1/endpoints/fraud/recording", json={"share": -1}).status_code == 400
    client.put("/api/v1/endpoints/fraud/recording", json={})
    assert served.platform.endpoints.endpoint("default", "fraud").recording.share == 10_000


def test_pages_list_show_and_explain(client: TestClient) -> None:
    listed = client.get("/predictions", params={"endpoint": "fraud"}).text
    assert "/predictions/p29%3A0?endpoint=fraud" in listed
    shown = client.get("/predictions/p00:0").text
    assert "country" in shown
    assert "Explain" in shown
    explained = client.get("/predictions/p00:0?explain=1").text
    for part in (
        "What each column added",
        "What would have changed the outcome",
        "Nearest training rows",
        "Exact values",
    ):
        assert part in explained
    assert "b&#39;x" not in explained


@pytest.fixture(scope="module")
def address(served: Served) -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(served.platform), log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_explanation_looks_right_in_a_browser(browser: Browser, address: str, width: int, scheme: Scheme) -> None:
    folder = os.environ.get("BAILIWICK_TEST_SCREENSHOTS")
    context = browser.new_context(viewport={"width": width, "height": 860}, color_scheme=scheme)
    page = context.new_page()
    for name, path in {"listed": "/predictions", "explained": "/predictions/p00:0?explain=1"}.items():
        page.goto(address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate(CONTRAST) == [], (scheme, path)
        if folder:
            page.screenshot(path=Path(folder) / f"prediction-{name}-{scheme}-{width}.png", full_page=True)
    context.close()
