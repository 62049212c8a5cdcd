"""A card says what was measured and by what, takes nobody's word for a measurement, and says what it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from bailiwick.core.actor import Actor
from bailiwick.core.errors import NotFound
from bailiwick.governance.cards.cyclonedx import cyclonedx
from bailiwick.governance.cards.fields import FIELDS, REQUIRED
from bailiwick.governance.cards.model import ModelCard, content_digest
from bailiwick.lifecycle.evidence import card_evidence, model_card
from bailiwick.lifecycle.platform import Platform
from bailiwick.lifecycle.training.record_steps import PROJECT_FILE
from bailiwick.pipelines.sections import Card
from bailiwick.server.cards import WRITERS
from bailiwick.tracking.lineage.model import Dataset, DatasetInput
from bailiwick.tracking.model import MetricPoint, RunInput
from tests_support.bom import complaints
from tests_support.fraud_project import PROJECT
from tests_support.fraud_project import run_pipeline as run

FILES = {
    "MLmodel": b"""\
flavors:
  python_function: {loader_module: mlflow.sklearn, python_version: 3.11.9}
  sklearn: {sklearn_version: 1.5.0}
mlflow_version: 3.17.2
signature:
  inputs: '[{"type": "double", "name": "hour", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'
""",
    "model.pkl": b"pickle",
    "requirements.txt": b"scikit-learn==1.5.0\n",
}

BARE: dict[str, object] = {
    "run_id": "",
    "snapshot": "",
    "signature": {},
    "metrics": {},
    "slices": {},
    "parity": {},
    "environment": {},
    "code_version": "",
    "parameters": {},
}


def register(platform: Platform, actor: Actor, **facts: object) -> ModelCard:
    """Register a version by hand, and its card."""
    package = platform.blobs.put(b"onnx")
    made = platform.registry.register(actor, "byhand", package=package, **{**BARE, **facts})  # type: ignore[arg-type]
    return model_card(platform, "default", "byhand", made.number)


def gaps(card: ModelCard) -> set[str]:
    return {each.topic for each in card.gaps}


def facts(card: ModelCard, key: str) -> dict[str, object]:
    section = card.section(key)
    return {fact.name: fact.value for fact in section.facts} if section else {}


class TestTrained:
    """A version that the pipeline made: everything is measured by a step of it."""

    @pytest.fixture
    def card(self, platform: Platform, admin: Actor, folder: Path) -> ModelCard:
        finished = run(platform, admin, folder)
        assert finished.status == "FINISHED", finished.message
        return model_card(platform, "default", "fraud", 1)

    def test_metrics_come_from_the_step_that_judged_it_with_their_uncertainty(self, card: ModelCard) -> None:
        auc = next(each for each in card.overall if each.name == "roc_auc")
        assert auc.source.provenance == "measured"
        assert auc.source.record.startswith("pipeline_run/")
        assert auc.source.record.endswith("/evaluate")
        assert auc.source.entry
        assert auc.source.time is not None
        assert auc.value is not None
        assert auc.low is not None
        assert auc.high is not None
        assert auc.low < auc.value < auc.high
        assert auc.rows is not None
        assert auc.rows > 100
        assert {each.slice for each in card.metrics if each.column == "country"} == {"AT", "BE", "CH"}
        assert {each.source.record for each in card.metrics} == {auc.source.record}

    def test_gates_parity_limits_inputs_parameters_and_packages_are_on_it(self, card: ModelCard) -> None:
        assert facts(card, "gates") == {"roc_auc >= 0.7": facts(card, "gates")["roc_auc >= 0.7"]}
        assert str(facts(card, "gates")["roc_auc >= 0.7"]).startswith("passed: roc_auc is 0.")
        assert facts(card, "parity")["passed"] is True
        assert "weakest slice by roc_auc" in facts(card, "limits")
        assert facts(card, "inputs")
        assert facts(card, "code")["code version"]
        licences = {each.name: each.licence for each in card.packages}
        assert licences["onnx"] == "Apache-2.0"
        assert licences["lightgbm"] == "MIT"
        assert {each.source.provenance for each in card.packages} == {"measured"}
        [data] = card.datasets
        assert (data.name, data.role, data.rows) == ("fraud", "training", 2000)

    def test_nothing_but_descriptions_statements_and_votes_is_stated(self, card: ModelCard) -> None:
        stated = {
            (section.key, fact.name)
            for section in card.sections
            for fact in section.facts
            if fact.source.provenance == "stated"
        }
        assert {key for key, _ in stated} <= {"version", "approvals"}

    def test_what_is_not_known_is_said(self, card: ModelCard) -> None:
        assert gaps(card) == {"Deployments", "Monitoring", "Uncertainty"} | ({"Licences"} & gaps(card))

    def test_the_words_of_the_project_file_are_stated_once(
        self, platform: Platform, card: ModelCard, admin: Actor, second: Actor, folder: Path
    ) -> None:
        assert card.complete
        assert card.answer("contact").text == "fraud@example.com"  # type: ignore[union-attr]
        assert card.answer("contact").origin == PROJECT_FILE  # type: ignore[union-attr]
        platform.statements.state(second, "fraud", None, "contact", "grace@example.com")
        run(platform, admin, folder, reason="again")
        told = platform.statements.statements("default", "fraud")
        assert told["contact"].text == "grace@example.com"
        assert len(platform.statements.history("default", "fraud")) == len(REQUIRED) + 1
        (folder / "bailiwick.yaml").write_text(
            PROJECT.replace("fraud@example.com", "ada@example.com"), encoding="utf-8"
        )
        run(platform, admin, folder, reason="new words")
        assert platform.statements.statements("default", "fraud")["contact"].text == "ada@example.com"

    def test_every_form_can_be_written_and_the_card_stays_as_it_is(self, platform: Platform, card: ModelCard) -> None:
        for write in WRITERS.values():
            assert card.digest in write(card)
        assert model_card(platform, "default", "fraud", 1).digest == card.digest
        assert content_digest(card.to_json()) == card.digest


def test_an_incomplete_card_is_not_put_forward_and_the_refusal_lists_what_is_missing(
    platform: Platform, admin: Actor, folder: Path
) -> None:
    without = PROJECT.replace("    contact: fraud@example.com\n", "").replace(
        "    limitations: Two countries, one month.\n", ""
    )
    (folder / "bailiwick.yaml").write_text(without, encoding="utf-8")
    finished = run(platform, admin, folder)
    assert finished.status == "FAILED"
    assert (
        "evidence 'card' is False, and must be true; not stated: limitations, contact"
        in finished.step("propose").message
    )
    assert card_evidence(platform, "default", "fraud", 1) == {"card": False, "card_missing": ["limitations", "contact"]}
    platform.statements.state(admin, "fraud", 1, "contact", "Ada")
    platform.statements.state(admin, "fraud", None, "limitations", "Two countries.")
    assert card_evidence(platform, "default", "fraud", 1) == {"card": True}


class TestByHand:
    """Versions that people or other clients register."""

    def test_a_version_of_which_nothing_is_known_says_so_in_every_form(self, platform: Platform, admin: Actor) -> None:
        card = register(platform, admin)
        assert gaps(card) >= {"Training run", "Data", "Signature", "Code", "Environment", "Metrics", "Quality gates"}
        assert card.missing == REQUIRED
        assert (card.metrics, card.datasets, card.packages, card.tensors) == ((), (), (), ())
        for write in WRITERS.values():
            assert "No metric was recorded" in write(card)
        assert complaints(cyclonedx(card)) == []

    def test_numbers_that_only_the_registrar_knows_are_stated_not_measured(
        self, platform: Platform, admin: Actor
    ) -> None:
        run_id = platform.tracking.start_run(admin, "byhand").id
        platform.tracking.log(admin, run_id, metrics={"auc": 0.7, "holdout_loss": 0.5}, params={"depth": "6"})
        card = register(
            platform,
            admin,
            run_id=run_id,
            metrics={"auc": 0.7, "loss": 0.5, "f1": 0.9},
            parameters={"depth": 6, "leaves": 31, "seed": 2**63},
            slices={"sex": {"f": {"auc": 0.6}}},
        )
        said = {each.name: each.source.provenance for each in card.overall}
        assert said == {"auc": "measured", "loss": "measured", "f1": "stated"}
        section = card.section("parameters")
        assert section is not None
        assert {each.name: (each.value, each.source.provenance) for each in section.facts} == {
            "depth": (6, "measured"),
            "leaves": (31, "stated"),
            "seed": (str(2**63), "stated"),
        }
        assert {each.source.provenance for each in card.metrics if each.column} == {"stated"}
        assert "Uncertainty" in gaps(card)

    def test_what_a_run_logged_fills_a_version_that_brings_nothing(self, platform: Platform, admin: Actor) -> None:
        """As an MLflow client registers: a run, and a version that points to it."""
        tags = {
            "mlflow.source.git.commit": "c0ffee",
            "mlflow.source.name": "train.py",
            "bailiwick.pipeline_run": "made up",
        }
        run_id = platform.tracking.start_run(admin, "byhand", tags=tags, inputs=[RunInput("gone", "validation")]).id
        points = [MetricPoint("val_loss", value, 1_000 + step, step) for step, value in enumerate((0.9, float("nan")))]
        platform.tracking.log(admin, run_id, metrics=points, params={"lr": "0.1"})
        card = register(platform, admin, run_id=run_id)
        assert [(each.name, each.value, each.source.time) for each in card.metrics] == [("val_loss", None, 1_001)]
        assert facts(card, "parameters") == {"lr": "0.1"}
        assert facts(card, "code") == {"code version": "c0ffee", "source.name": "train.py"}
        [data] = card.datasets
        assert (data.snapshot, data.role, data.rows) == ("gone", "validation", None)
        told = {each.topic: each.text for each in card.gaps}
        assert "on which rows" in told["Metrics"]
        assert "not kept here any more" in told["Data"]
        assert "Slices" in told

    def test_a_run_that_is_not_there_is_a_gap(self, platform: Platform, admin: Actor) -> None:
        card = register(platform, admin, run_id="f" * 32, slices={"odd": 3}, environment={"packages": [1]})
        assert "not kept here" in {each.topic: each.text for each in card.gaps}["Training run"]

    def test_there_is_no_card_of_a_version_that_there_is_not(self, platform: Platform, admin: Actor) -> None:
        register(platform, admin)
        with pytest.raises(NotFound):
            model_card(platform, "default", "byhand", 2)


def test_the_project_file_knows_every_field_of_a_card() -> None:
    assert list(Card.model_fields) == list(FIELDS)


def test_a_version_of_mlflow_has_a_card_with_all_that_is_known_of_it(platform: Platform, admin: Actor) -> None:
    run_ = platform.tracking.start_run(admin, "e", name="fit")
    platform.tracking.log(admin, run_.id, params={"C": "0.5"}, metrics={"auc": 0.75})
    dataset = DatasetInput(Dataset("flights", "d1", "local", "/data/flights.csv"), {"mlflow.data.context": "training"})
    platform.run_lineage.log_inputs(admin, run_.id, datasets=[dataset])
    for path, data in FILES.items():
        platform.artifacts.put(admin, platform.artifacts.locate("default", run_.artifact_uri, f"model/{path}"), [data])
    platform.registry.create_model(admin, "late", tags={"team": "core"})
    platform.registry.create_version(
        admin, "late", source=f"runs:/{run_.id}/model", run_id=run_.id, tags={"checked": "yes"}
    )
    platform.registry.set_stage(admin, "late", 1, "Staging", reason="try it")
    platform.governance.request(admin, "late", 1, "champion", author=admin.identity, evidence={})
    card = model_card(platform, "default", "late", 1)
    assert facts(card, "version")["source"] == f"runs:/{run_.id}/model"
    assert facts(card, "version")["stage"] == "Staging"
    assert facts(card, "version")["size (bytes)"] == sum(map(len, FILES.values()))
    assert facts(card, "files")["flavours"] == "python_function, sklearn 1.5.0"
    assert facts(card, "files")["Python"] == "3.11.9"
    assert facts(card, "tags") == {"checked": "yes", "team (of the model)": "core"}
    assert facts(card, "stages") == {"Staging": "set, was None: try it"}
    assert facts(card, "approvals") == {"for champion": "requested; now pending"}
    assert facts(card, "lineage")["flights"] == "trained fit"
    assert [(each.name, each.datatype) for each in card.tensors] == [("hour", "double"), ("0", "float64")]
    assert [(each.name, each.version) for each in card.packages] == [("scikit-learn", "1.5.0")]
    told = [fact.source.provenance for section in card.sections for fact in section.facts]
    assert len(told) == sum(len(section.facts) for section in card.sections)
    assert complaints(cyclonedx(card)) == []
    for form in ("html", "markdown"):
        written = WRITERS[form](card)
        text = written if isinstance(written, str) else bytes(written).decode()
        for word in ("sklearn 1.5.0", "Staging", "checked", f"runs:/{run_.id}/model", "hour"):
            assert word in text, (form, word)
