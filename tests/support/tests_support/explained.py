"""A platform with a trained version behind an endpoint that answers, and all of its predictions in the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bailiwick.app import open_platform
from bailiwick.core.actor import Actor, Permission
from bailiwick.core.settings import Settings
from bailiwick.endpoints.model import RouteTable
from bailiwick.serving.shipper import Shipper
from bailiwick.testing.clock import FakeClock
from tests_support.fraud_project import PROJECT, rows, run_pipeline
from tests_support.serving import Serving

BOOSTED = """\
import lightgbm


def fit(train, valid, params, report):
    made = lightgbm.LGBMClassifier(n_estimators=25, num_leaves=7, verbose=-1, n_jobs=1, random_state=0)
    return made.fit(train.features, train.labels)
"""
ADMIN = Actor("u-admin", "admin", "default", frozenset(Permission))


class Served:
    """A platform with a trained version, an endpoint that has answered, and its log."""

    def __init__(self, home: Path, code: str, template: Path) -> None:
        folder = home / "fraud"
        (folder / "data").mkdir(parents=True)
        (folder / "bailiwick.yaml").write_text(PROJECT, encoding="utf-8")
        (folder / "fraud.py").write_text(code, encoding="utf-8")
        pq.write_table(rows(), folder / "data" / "first.parquet")
        settings = Settings(home=home / "home")
        settings.home.mkdir()
        (settings.home / "bailiwick.db").write_bytes(template.read_bytes())
        self.clock = FakeClock()
        self.platform = open_platform(settings, self.clock)
        assert run_pipeline(self.platform, ADMIN, folder).status == "FINISHED"
        self.version = self.platform.registry.version("default", "fraud", 1)
        self.package = self.platform.blobs.get(self.version.package)
        self.platform.endpoints.deploy(
            ADMIN, "fraud", model="fraud", version=1, package=self.version.package, key="customer"
        )
        self.serving = Serving(home / "serve")
        self.serving.store(self.package)

    def close(self) -> None:
        """Let go of the spool and the database."""
        self.serving.spool.close()
        self.platform.close()

    def answer(self, request_id: str, amount: float | None, country: str) -> float:
        endpoint = self.platform.endpoints.endpoint("default", "fraud")
        self.serving.revision += 1
        self.serving.follower.install(RouteTable(1, self.serving.revision, (endpoint,)))
        body: dict[str, Any] = {
            "id": request_id,
            "inputs": [
                {"name": "amount", "datatype": "FP32", "shape": [1, 1], "data": [amount]},
                {"name": "country", "datatype": "BYTES", "shape": [1, 1], "data": [country]},
                {"name": "customer", "datatype": "BYTES", "shape": [1], "data": ["c1"]},
            ],
        }
        status, answer = self.serving.infer(body, "/v2/models/fraud/infer")
        assert status == 200, answer
        Shipper(self.serving.home / "spool", self.platform.logs.of("default"), self.platform.pseudonyms).ship()
        return float(answer["outputs"][0]["data"][0])
