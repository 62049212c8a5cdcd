"""The generated OpenAPI document, and the page that lets anyone try a model, in a real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests_support.browser import opened_browser
from tests_support.echoes import route_echo
from tests_support.logged_models import document_package
from tests_support.looks import CONTRAST, SCHEMES, WIDTHS
from tests_support.serving import Serving
from tests_support.worker import Control, Worker

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def described(serving: Serving) -> Any:
    status, answer = serving.call("GET", "/openapi.json")
    assert status == 200
    return answer


def test_the_document_has_the_row_of_each_model(serving: Serving) -> None:
    assert described(serving)["paths"].keys() == {"/v2", "/v2/health/live"}
    serving.route(serving.variant(1))
    operation = described(serving)["paths"]["/predict/late"]["post"]
    row, rows = operation["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert row["required"] == ["x", "carrier"]
    assert row["properties"] == {
        "x": {
            "type": ["number", "null", "boolean"],
            "exclusiveMinimum": -3.4028235677973366e38,
            "exclusiveMaximum": 3.4028235677973366e38,
        },
        "carrier": {"type": ["string", "null"]},
        "tail": {"type": ["string", "null"], "description": "The unit: who or what this is about"},
        "at": {
            "type": "integer",
            "minimum": -(2**63),
            "maximum": 2**63 - 1,
            "description": "Event time, in milliseconds",
        },
    }
    assert rows["items"] == row


def test_an_input_that_only_one_version_needs_is_optional(serving: Serving) -> None:
    serving.route(serving.variant(2, 5_000, extra=True), serving.variant(1, 5_000))
    operation = described(serving)["paths"]["/predict/late"]["post"]
    row, _ = operation["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert row["required"] == ["x", "carrier"]
    assert "extra" in row["properties"]


def test_every_example_is_answered_as_described(serving: Serving) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    route_echo(
        serving, ("a", "FP32", [1]), ("b", "BYTES", []), ("c", "UINT8", [2, 2]), ("d", "BOOL", [1]), ("e", "BF16", [3])
    )
    document = described(serving)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            sent: Any = b""
            if method == "post":
                content = operation["requestBody"]["content"]["application/json"]
                sent = content["example"]
                jsonschema.validate(sent, content["schema"])
            status, answer = serving.call(method.upper(), path, sent)
            assert status == 200, (path, answer)
            jsonschema.validate(answer, operation["responses"]["200"]["content"]["application/json"]["schema"])


def test_the_page_is_of_this_server_alone(serving: Serving) -> None:
    for path, kind in (("/docs", "text/html"), ("/docs/page.css", "text/css"), ("/docs/page.js", "text/javascript")):
        answer = serving.handler.handle("GET", path, {}, b"")
        headers = {name.decode(): value.decode() for name, value in answer.headers}
        assert answer.status == 200
        assert headers["content-type"].startswith(kind)
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert b"http://" not in answer.body
        assert b"https://" not in answer.body
    assert serving.handler.handle("GET", "/docs/page.html", {}, b"").status == 404
    assert serving.handler.handle("POST", "/docs", {}, b"").status == 405


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from opened_browser()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    control = Control()
    control.route(control.variant(1))
    worker = Worker(tmp_path_factory.mktemp("worker"), control.port)
    worker.wait_for(1)
    yield f"http://127.0.0.1:{worker.port}"
    worker.stop()
    control.close()


def test_a_model_is_tried_by_hand(browser: Browser, address: str) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address + "/docs")
    page.get_by_label("x", exact=False).first.fill("1.5")
    page.get_by_label("carrier").fill("UA")
    page.get_by_role("button", name="Predict").click()
    answer = page.get_by_role("status")
    page.get_by_role("status").filter(has_text="200 · ").wait_for()
    assert '"probability": 1021.5' in (answer.text_content() or "")
    page.get_by_text("As JSON, and for the command line").click()
    assert """-d '{ "x": 1.5, "carrier": "UA" }'""" in (page.locator("details pre").text_content() or "")
    page.get_by_label("x", exact=False).first.fill("much")
    page.get_by_role("button", name="Predict").click()
    page.get_by_role("status").filter(has_text="400 · ").wait_for()
    assert 'Input x is FP32; value 0 is \\"much\\".' in (answer.text_content() or "")
    assert [text for text in complaints if "400" not in text] == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_fits_and_can_be_read(browser: Browser, address: str, scheme: Any) -> None:
    for name, width in WIDTHS.items():
        context = browser.new_context(viewport={"width": width, "height": 860}, color_scheme=scheme)
        page = context.new_page()
        page.goto(address + "/docs")
        page.get_by_role("button", name="Predict").click()
        page.get_by_role("status").filter(has_text="200 · ").wait_for()
        for closed in page.locator("summary").all():
            closed.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRAST) == []
        folder = os.environ.get("BAILIWICK_TEST_SCREENSHOTS")
        if folder:
            page.screenshot(path=Path(folder) / f"try-{scheme}-{name}.png", full_page=True)
        context.close()


def test_a_model_of_documents_is_tried_with_json(browser: Browser, tmp_path: Path) -> None:
    code = "class Model:\n    def predict(self, asked): return (asked['x'] * 2).tolist()"
    control = Control()
    package = document_package(tmp_path / "package", code, example='{"dataframe_records": [{"x": 4}]}')
    control.route(control.variant(1, data=package.read_bytes()))
    worker = Worker(tmp_path / "worker", control.port)
    worker.wait_for(1)
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{worker.port}/docs")
    page.get_by_role("button", name="Predict").click()
    page.get_by_role("status").filter(has_text="200 · ").wait_for()
    assert '"response": 8' in (page.get_by_role("status").text_content() or "")
    page.get_by_label("The request as JSON").fill('{"y": 1}')
    page.get_by_role("button", name="Predict").click()
    page.get_by_role("status").filter(has_text="400 · ").wait_for()
    page.close()
    worker.stop()
    control.close()
