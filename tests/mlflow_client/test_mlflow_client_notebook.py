"""A notebook that knows nothing of Bailiwick works unmodified, with the client of MLflow 2 and of MLflow 3."""

from __future__ import annotations

import sys

from tests_support.mlflow_client import Story


def test_a_notebook_works_unmodified(story: Story) -> None:
    found = story("notebook")
    assert found["autologged"] == {
        "name": "autologged",
        "status": "FINISHED",
        "params": "300",
        "accuracy": True,
        "inputs": 1,
    }
    assert found["artifacts"] == ["data.json", "hello.txt"]
    assert found["text"] == "hello"
    assert found["logged"] == {
        "params": {"lr": "0.1", "layers": "3"},
        "team": "core",
        "loss": 0.2,
        "nan": True,
        "largest": sys.float_info.max,
        "history": [[step, 1 / (step + 1)] for step in range(5)],
        "parent": True,
    }
    assert found["searched"]
    assert found["registry"] == {
        "run": True,
        "tags": {"checked": "yes"},
        "aliases": {"champion": "1"},
        "models": ["iris"],
        "predictions": True,
        "same": True,
        "from_run": True,
    }
    assert found["deleted"] == "deleted"
