"""Named stakeholders are told of what is wrong with their data, through the durable outbox, before anything is trained."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import InvalidInput, NotAllowed
from bailiwick.core.settings import Settings
from bailiwick.lifecycle.configuration import apply_project
from bailiwick.lifecycle.platform import Platform
from bailiwick.pipelines.project import load_project, parse_project
from bailiwick.store.journal.sequencer import Sequencer
from bailiwick.store.journal.signer import Signer
from bailiwick.webhooks.courier import Courier
from tests_support.fraud_project import CODE, PROJECT, rows, run_pipeline
from tests_support.receiver import receiving
from tests_support.smtp import MailBox, smtp_server

TOLD = """\
  checks: {{volume: {{least: 1000}}}}
  stakeholders:
    - {{name: Data team, email: data@example.com}}
    - {{name: On call, slack: "{url}"}}
features:"""


@pytest.fixture
def box() -> Iterator[MailBox]:
    with smtp_server() as opened:
        yield opened


@pytest.fixture
def platform(tmp_path: Path, box: MailBox) -> Iterator[Platform]:
    settings = Settings(
        home=tmp_path / "home",
        webhooks_private=True,
        webhooks_plain=True,
        smtp_url=f"smtp://127.0.0.1:{box.port}",
        mail_from="bailiwick@example.com",
    )
    opened = open_platform(settings)
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    project = tmp_path / "fraud"
    (project / "data").mkdir(parents=True)
    (project / "fraud.py").write_text(CODE, encoding="utf-8")
    pq.write_table(rows(days=2), project / "data" / "first.parquet")
    return project


def declare(folder: Path, url: str) -> None:
    text = PROJECT.replace("features:", TOLD.format(url=url), 1)
    (folder / "bailiwick.yaml").write_text(text, encoding="utf-8")


def deliver(platform: Platform) -> None:
    """What the `work` process does all the time."""
    signer = Signer.in_folder(platform.keys_folder)
    Sequencer(platform.database, platform.journal_folder, signer).integrate()
    while platform.outbox.collect():
        pass
    courier = Courier(platform.outbox, platform.sender)
    while courier.dispatch():
        while courier.busy:
            pass
    courier.close()


def test_stakeholders_are_told_and_the_refusal_says_so(
    platform: Platform, admin: Actor, folder: Path, box: MailBox
) -> None:
    with receiving() as chat:
        declare(folder, chat.url)
        platform.webhooks.create(
            admin, "audit", url=f"{chat.url}/audit", events=["alarm.*"], format="cloudevents", description="hush"
        )
        refused = run_pipeline(platform, admin, folder)
        assert refused.status == "FAILED"
        assert "Told: Data team <data@example.com>, On call (chat)." in refused.message
        deliver(platform)
        [(recipient, message)] = box.received
        assert recipient == "data@example.com"
        assert message["Subject"] == "[bailiwick] Error: data check, dataset fraud"
        assert "400 rows are fewer than the 1,000 that are asked for" in message.get_content()
        [got] = [each for each in chat.got if each.path == "/"]
        assert json.loads(got.body)["text"].startswith("*Error: data check, dataset fraud*")
        assert chat.url not in refused.message  # a chat's URL is its secret
        again = run_pipeline(platform, admin, folder)
        assert (
            "Told: Data team <data@example.com> (delivered), On call (chat) (delivered), 1 other webhook."
            in again.message
        )
        assert "hush" not in again.message
        deliver(platform)
        assert len(box.received) == 1  # nobody is told twice
        snapshot = platform.data.snapshots("default", "fraud")[0]
        platform.data_alarms.accept(admin, "fraud", snapshot.id, "Two days only, by intention.")
        deliver(platform)
        assert "Two days only" in box.received[-1][1].get_content()


def test_webhooks_follow_the_project_file(platform: Platform, admin: Actor, folder: Path) -> None:
    declare(folder, "https://chat.example.com/one")
    project = load_project(folder)
    apply_project(platform, admin, project)
    first = {each.url: each for each in platform.webhooks.webhooks("default")}
    assert set(first) == {"mailto:data@example.com", "https://chat.example.com/one"}
    assert first["mailto:data@example.com"].events == (
        "alarm.raised/dataset/fraud",
        "snapshot.accepted/dataset/fraud",
    )
    apply_project(platform, admin, project)
    assert {each.id for each in platform.webhooks.webhooks("default")} == {each.id for each in first.values()}
    mine = platform.webhooks.create(admin, "mine", url="https://a.example.com", events=["*"], format="cloudevents")
    declare(folder, "https://chat.example.com/two")
    text = (folder / "bailiwick.yaml").read_text().replace("    - {name: Data team, email: data@example.com}\n", "")
    (folder / "bailiwick.yaml").write_text(text)
    apply_project(platform, admin, load_project(folder))
    second = {each.url: each.id for each in platform.webhooks.webhooks("default")}
    assert second == {
        "https://chat.example.com/two": first["https://chat.example.com/one"].id,
        "https://a.example.com": mine.id,
    }


def test_who_may_not_manage_webhooks_may_not_name_stakeholders(platform: Platform, admin: Actor, folder: Path) -> None:
    declare(folder, "https://chat.example.com/one")
    engineer = Actor("e", "eve", "default", frozenset(Permission) - {Permission.WEBHOOKS_MANAGE})
    with pytest.raises(NotAllowed, match=r"data\.stakeholders of project 'fraud' have changed"):
        apply_project(platform, engineer, load_project(folder))
    apply_project(platform, admin, load_project(folder))
    apply_project(platform, engineer, load_project(folder))  # nothing has to change


def test_a_webhook_that_there_is_can_be_named(platform: Platform, admin: Actor, folder: Path) -> None:
    text = PROJECT.replace("features:", "  stakeholders: [{name: Ops, webhook: pager}]\nfeatures:", 1)
    (folder / "bailiwick.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match="webhook of 'Ops' 'pager' is not known"):
        apply_project(platform, admin, load_project(folder))
    platform.webhooks.create(admin, "pager", url="https://p.example.com", events=["alarm.*"], format="cloudevents")
    apply_project(platform, admin, load_project(folder))


@pytest.mark.parametrize("ways", ["", ", email: a@example.com, slack: https://x.example.com"])
def test_a_stakeholder_is_told_in_one_way(ways: str) -> None:
    with pytest.raises(InvalidInput, match="exactly one of email, slack and webhook"):
        parse_project(PROJECT.replace("features:", f"  stakeholders: [{{name: A{ways}}}]\nfeatures:", 1))


def test_mail_and_addresses_belong_together(platform: Platform, admin: Actor) -> None:
    for url, form in (("mailto:a@example.com", "cloudevents"), ("https://a.example.com", "email")):
        with pytest.raises(InvalidInput, match="belong together"):
            platform.webhooks.create(admin, "x", url=url, events=["*"], format=form)
    made = platform.webhooks.create(admin, "x", url="mailto:a@example.com", events=["alarm.raised"], format="email")
    assert platform.webhooks.test(admin, made.id).status == 250
    assert dataclasses.replace(made).format == "email"
