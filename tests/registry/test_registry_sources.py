"""A version's files are where its run or logged model keeps them, and nothing a client says leads anywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.core.actor import Actor
from bailiwick.core.errors import BailiwickError, InvalidInput, NotFound
from bailiwick.registry.contents import content_digest
from bailiwick.registry.ports import LoggedModel, NoGate
from bailiwick.registry.service import RegistryService
from bailiwick.registry.sources import Claim, ModelUri, follow, parse_model_uri
from bailiwick.store.records import Records
from bailiwick.testing.registry import FakeArtifacts, FakeOrigins

RUN, MODEL = "r" * 32, "m-" + "a" * 32
PROXIED = f"mlflow-artifacts:/1/{RUN}/artifacts"
LOGGED = f"mlflow-artifacts:/1/models/{MODEL}/artifacts"


@pytest.fixture
def origins(tmp_path: Path) -> FakeOrigins:
    (tmp_path / "run" / "model").mkdir(parents=True)
    return FakeOrigins(
        runs={("default", RUN): PROXIED, ("default", "local"): (tmp_path / "run").as_uri()},
        models={("default", MODEL): LoggedModel(LOGGED, RUN)},
    )


@pytest.fixture
def artifacts() -> FakeArtifacts:
    return FakeArtifacts()


@pytest.fixture
def registry(records: Records, origins: FakeOrigins, artifacts: FakeArtifacts, admin: Actor) -> RegistryService:
    made = RegistryService(records, NoGate(), origins=origins, artifacts=artifacts)
    made.create_model(admin, "late")
    return made


@pytest.mark.parametrize(
    ("source", "ids"),
    [
        (f"runs:/{RUN}/model", {"run_id": RUN}),
        (f"{PROXIED}/model", {"run_id": RUN}),
        (f"{PROXIED}/model///deep/", {"run_id": RUN}),
        (LOGGED, {"model_id": MODEL}),
        (f"models:/{MODEL}", {"model_id": MODEL}),
        ("s3://bucket/models/late", {}),
        ("s3://bucket/models/late", {"model_id": MODEL}),
        ("dbfs:/models/artifact/..../", {}),
    ],
)
def test_a_source_within_what_is_named_makes_a_version(
    registry: RegistryService, admin: Actor, source: str, ids: dict[str, Any]
) -> None:
    made = registry.create_version(admin, "late", source=source, **ids)
    assert (made.source, made.number, made.package, made.native) == (source, 1, "", False)
    assert made.storage == (LOGGED if source.startswith("models:") else source)


@pytest.mark.parametrize(
    ("source", "ids", "said"),
    [
        (f"runs:/{RUN}/model", {}, "run_id parameter must identify"),
        (f"runs:/{RUN}/model", {"run_id": "other"}, "run_id parameter must identify"),
        (f"runs://host/{RUN}/model", {"run_id": RUN}, "run_id parameter must identify"),
        ("mlflow-artifacts:/1/other/artifacts", {"run_id": RUN}, "run_id parameter must identify"),
        (f"mlflow-artifacts://host/1/{RUN}/artifacts", {"run_id": RUN}, "run_id parameter must identify"),
        (f"https://host/api/2.0/mlflow-artifacts/artifacts/1/{RUN}", {"run_id": RUN}, "run_id parameter must"),
        (PROXIED, {"run_id": "unknown"}, "run_id parameter must identify"),
        (f"models:/{MODEL}", {}, "model_id parameter must identify"),
        (f"models:/{MODEL}", {"model_id": "m-other"}, "model_id parameter must identify"),
        ("models:/m-unknown", {"model_id": "m-unknown"}, "model_id parameter must identify"),
        (f"runs:/{RUN}/model", {"model_id": MODEL}, "model_id parameter must identify"),
        (PROXIED, {"model_id": MODEL}, "model_id parameter must identify"),
        ("models://host/late/1", {}, "model_id parameter must identify"),
        ("models:/a/b/c", {}, "model_id parameter must identify"),
        ("models:/late/", {}, "model_id parameter must identify"),
        ("/etc", {}, "To use a local path as a model version source"),
        ("/etc", {"run_id": "local"}, "To use a local path"),
        ("file:///etc", {"run_id": "local"}, "To use a local path"),
        ("file:///path/to/model", {"model_id": MODEL}, "To use a local path"),
        ("relative", {"run_id": "local"}, "To use a local path"),
        ("file://123.456.789.123/path", {"run_id": "local"}, "is not a valid remote uri"),
        ("s3a://b/x/../../y", {}, "If supplying a source as an http, https,"),
        ("ftp://host:88/../x", {}, "If supplying a source as an http, https,"),
        ("http://host/%2e%2e/x", {}, "If supplying a source as an http, https,"),
        (f"{PROXIED}/..%252f..%252fother", {"run_id": RUN}, "If supplying a source as an http, https,"),
        (f"{PROXIED}/a%00", {"run_id": RUN}, "If supplying a source as an http, https,"),
        ("http://%5Bhost/x", {}, "If supplying a source as an http, https,"),
        ("http://[host/x", {}, "is no URI"),
        ("s3:bucket", {}, "If supplying a source as an http, https,"),
        ("a\nb", {}, "printable"),
        (" ", {}, "printable"),
        ("dummy-source", {}, "To use a local path"),
    ],
)
def test_a_source_that_leads_elsewhere_is_refused(
    registry: RegistryService, admin: Actor, source: str, ids: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        registry.create_version(admin, "late", source=source, **ids)
    assert said in refused.value.message
    assert registry.versions("default", "late") == []


def test_a_local_path_lies_in_the_folder_of_its_run(registry: RegistryService, admin: Actor, tmp_path: Path) -> None:
    root = tmp_path / "run"
    (root / "out").symlink_to("/etc")
    for inside in (str(root), f"{root.as_uri()}/model", f"{root.as_uri()}/model/.."):
        assert registry.create_version(admin, "late", source=inside, run_id="local").source == inside
    for outside in (f"{root}/../other", f"{root}-else", f"{root}/out/passwd"):
        with pytest.raises(InvalidInput, match="To use a local path"):
            registry.create_version(admin, "late", source=outside, run_id="local")


def test_runs_and_logged_models_of_other_workspaces_own_nothing_here(
    registry: RegistryService, stranger: Actor
) -> None:
    registry.create_model(stranger, "late")
    with pytest.raises(InvalidInput, match="run_id parameter"):
        registry.create_version(stranger, "late", source=PROXIED, run_id=RUN)
    with pytest.raises(InvalidInput, match="model_id parameter"):
        registry.create_version(stranger, "late", source=f"models:/{MODEL}", model_id=MODEL)


def test_the_run_of_a_logged_model_is_taken_over_and_the_logged_model_hears_of_it(
    registry: RegistryService, admin: Actor, origins: FakeOrigins
) -> None:
    made = registry.create_version(admin, "late", source=f"models:/{MODEL}", model_id=MODEL)
    assert (made.run_id, made.model_id, made.storage) == (RUN, MODEL, LOGGED)
    assert origins.told == [(MODEL, "late", 1)]
    ids = [node["id"] for node in registry.lineage("default", "late", 1)["nodes"]]
    assert ids == [f"run/{RUN}", f"logged_model/{MODEL}", "version/late/1"]
    assert registry.versions_of_source("default", model_id=MODEL) == [made]
    assert registry.versions_of_source("default", run_id=RUN) == [made]


def test_content_is_named_by_the_digests_of_its_files(
    registry: RegistryService, admin: Actor, artifacts: FakeArtifacts
) -> None:
    artifacts.put("default", f"{PROXIED}/model", {"MLmodel": b"flavors: {}", "model.pkl": b"123"})
    made = registry.create_version(admin, "late", source=f"runs:/{RUN}/model", run_id=RUN)
    files = artifacts.files("default", f"{PROXIED}/model")
    assert files is not None
    assert (made.digest, made.size_bytes) == (content_digest(files), 14)
    assert registry.create_version(admin, "late", source="s3://bucket/m").digest == ""


def test_a_copy_has_what_the_version_it_names_has(registry: RegistryService, admin: Actor) -> None:
    first = registry.create_version(admin, "late", source=f"models:/{MODEL}", model_id=MODEL)
    registry.attach_package(admin, "late", 1, package="f" * 64, signature={"inputs": []}, parity={"passed": True})
    registry.set_alias(admin, "late", "best", 1)
    registry.set_stage(admin, "late", 1, "Staging")
    registry.create_model(admin, "other")
    for said in ("1", "latest", "staging"):
        copy = registry.create_version(admin, "other", source=f"models:/late/{said}")
        assert (copy.source, copy.storage, copy.run_id, copy.model_id) == ("models:/late/1", LOGGED, RUN, MODEL)
        assert (copy.package, copy.signature, copy.digest) == ("f" * 64, {"inputs": []}, first.digest)
    assert registry.create_version(admin, "other", source="models:/late@best", run_id=RUN).source == "models:/late/1"
    with pytest.raises(InvalidInput, match="run_id and model_id must be those"):
        registry.create_version(admin, "other", source="models:/late/1", run_id="another")
    for missing in ("models:/late/9", "models:/late@gone", "models:/late/Production", "models:/gone/1"):
        with pytest.raises(NotFound):
            registry.create_version(admin, "other", source=missing)
    edges = registry.lineage("default", "other", 1)["edges"]
    assert {"from": "version/late/1", "to": "version/other/1", "label": "registered as"} in edges


def test_a_prompt_has_a_placeholder_for_a_source_and_is_no_source(registry: RegistryService, admin: Actor) -> None:
    prompt = {"mlflow.prompt.is_prompt": "true"}
    registry.create_model(admin, "greeting", tags=prompt)
    assert registry.create_version(admin, "greeting", source="dummy-source", tags=prompt).number == 1
    with pytest.raises(InvalidInput, match="dummy-source, prompt-template"):
        registry.create_version(admin, "greeting", source="/etc/passwd", tags=prompt)
    with pytest.raises(InvalidInput, match="names a prompt"):
        registry.create_version(admin, "late", source="models:/greeting/1")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("models:/m-1", ModelUri(model_id="m-1")),
        ("models:/a b/12", ModelUri(name="a b", version="12")),
        ("models:/a/LATEST", ModelUri(name="a")),
        ("models:/a/Production", ModelUri(name="a", stage="Production")),
        ("models:/a@b@champion", ModelUri(name="a@b", alias="champion")),
    ],
)
def test_model_uris_are_read_as_mlflow_reads_them(text: str, read: ModelUri) -> None:
    assert parse_model_uri(text) == read


@given(st.text() | st.from_regex(r"[a-z\-]{0,6}:/{0,3}[a-z%0-9./\[\]:@]{0,20}"), st.text(max_size=5))
def test_any_source_is_followed_or_refused(source: str, run_id: str) -> None:
    try:
        follow(Claim(source, run_id), FakeOrigins(runs={}, models={}), "default", None)
    except BailiwickError:
        return
