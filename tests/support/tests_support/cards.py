"""A model card made by hand, whose every text can be made hostile."""

from __future__ import annotations

from collections.abc import Callable

from bailiwick.governance.cards.fields import FIELDS
from bailiwick.governance.cards.model import (
    Answer,
    Dataset,
    Fact,
    Gap,
    Metric,
    ModelCard,
    Package,
    Section,
    Source,
    Tensor,
    sealed,
)

TIME = 1_388_534_400_000
RUN = "0199aaaaaaaa7aaa8aaaaaaaaaaaaaaa"
SNAPSHOT = "0199bbbbbbbb7bbb8bbbbbbbbbbbbbbb"
ENTRY = "0199cccccccc7ccc8ccccccccccccccc"
STATED = (
    "intended_use",
    "out_of_scope",
    "limitations",
    "ethical_considerations",
    "personal_data",
    "data",
    "oversight",
    "licence",
)


def sample(said: Callable[[str], str] = lambda text: text) -> ModelCard:
    """A card with something of every kind; `said` is applied to each text that could come from outside."""
    run = Source("measured", f"run/{RUN}", by=said("ada"), identity="u-ada", time=TIME, entry=ENTRY)
    step = Source("measured", f"pipeline_run/{RUN}/evaluate", identity="u-ada", time=TIME + 60_000)
    person = Source("stated", "model/flights", by=said("grace"), identity="u-grace", time=TIME + 120_000, entry=ENTRY)
    texts = {key: f"{FIELDS[key].title} of the model." for key in STATED} | {"licence": "Apache-2.0"}
    texts["intended_use"] = (
        "Warn passengers that a departure may be late.\nHours ahead, never as the only source.\n\nNot for crews."
    )
    metrics = (
        Metric("roc_auc", 0.7123456789, step, rows=2000, low=0.68, high=0.74, method="Hanley-McNeil"),
        Metric("log_loss", 0.53, step, rows=2000),
        Metric(said("custom_metric"), None, run),
        Metric(
            "roc_auc",
            0.69,
            step,
            column=said("origin"),
            slice=said("JFK"),
            rows=900,
            low=0.64,
            high=0.74,
            method="Hanley-McNeil",
        ),
        Metric("roc_auc", 0.72, step, column=said("origin"), slice=said("LGA"), rows=1100),
        Metric("roc_auc", 0.7, step, column=said("origin"), slice="", rows=120),
    )
    return sealed(
        ModelCard(
            workspace="default",
            model=said("flights"),
            number=3,
            version_digest="0bfc5c8df451f529e8fb1593c78af66c1715a58fb9d9353b94b83fefad6fa7c5",
            as_of=TIME,
            answers=tuple(
                Answer(key, said(text), "model", person, said("the project file") if key == "data" else "")
                for key, text in texts.items()
            ),
            missing=("contact",),
            unanswered=("users", "tradeoffs", "contact"),
            metrics=metrics,
            datasets=(
                Dataset(
                    SNAPSHOT,
                    said("flights"),
                    "training",
                    Source("measured", f"snapshot/{SNAPSHOT}", time=TIME - 1),
                    digest="60714b1c628cda2c8c75add10b131cc8b5927a3068f8d6c45a8ae7ab74d72b34",
                    rows=327_346,
                    columns=19,
                    time_from=TIME - 31_536_000_000,
                    time_to=TIME - 1,
                    origin=said("data/flights-*.parquet"),
                ),
            ),
            tensors=(
                Tensor(said("hour"), "input", said("FP32"), "any × 1", run),
                Tensor(said("probability"), "output", said("FP32"), "any", run),
            ),
            packages=(
                Package(said("lightgbm"), said("4.7.0"), said("MIT"), run),
                Package("numpy", "2.3.5", "BSD-3-Clause AND 0BSD AND MIT", run),
                Package("Some_Thing.else", "1", "", run),
            ),
            sections=(
                Section(
                    "version",
                    "Version",
                    (Fact("size (bytes)", 52_000, run), Fact("description", said("Late or not."), person)),
                ),
                Section(
                    "parameters", "Parameters", (Fact(said("depth"), 6, run), Fact(said("note"), said("a | b"), run))
                ),
                Section(
                    "parity",
                    "Training and serving agree",
                    (Fact("passed", True, step), Fact("max_error", 2.1e-7, step)),
                ),
            ),
            gaps=(Gap("Uncertainty", said("How far these may be off is not known: log_loss.")),),
        )
    )
