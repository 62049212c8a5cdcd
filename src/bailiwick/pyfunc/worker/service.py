"""Questions to a model, answered one after another.

They are `load`, `predict`, `taught`, `estimator`, `convert`; and of ONNX graphs in the folder `open`, `run`. An answer has
`ok`; where that is false, `error` says what the model raised, or what is wrong with the question (`kind`: `refusal`) or with
the answer (`uneven`).
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from .answering import Loaded
from .channel import Channel, Head, Named, Refusal, Uneven
from .converting import conversions, estimator
from .graphs import about_graph, graph_of, run_graph
from .teaching import taught


def libraries() -> dict[str, str]:
    """Versions of what answers may depend on."""
    from importlib import metadata

    found = {}
    for name in ("mlflow", "mlflow-skinny", "scikit-learn", "lightgbm", "xgboost", "catboost", "numpy", "pandas"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def failure(error: Exception) -> Head:
    """What is told of an exception; `kind` where it is not the model's."""
    for kind, meant in (("refusal", Refusal), ("uneven", Uneven)):
        if isinstance(error, meant):
            return {"error": str(error)[:2000], "kind": kind}
    return {"error": f"{type(error).__name__}: {error}"[:2000]}


def serve(channel: Channel, folder: str) -> None:
    """Answer until the other side is gone."""
    loaded: Loaded | None = None
    sessions: dict[str, Any] = {}
    while True:
        head, arrays = channel.receive()
        answer: Head = {}
        outputs: Named = []
        try:
            if head["ask"] == "load":
                loaded = Loaded(folder, head)
                answer = {"loader": loaded.loader, "libraries": libraries(), "python": sys.version.split()[0]}
            elif head["ask"] == "predict" and loaded is not None:
                outputs = loaded.answer(head, arrays)
            elif head["ask"] == "open":
                session = sessions[head["file"]] = graph_of(folder, head)
                answer = about_graph(session)
            elif head["ask"] == "run":
                outputs = run_graph(sessions[head["file"]], head, arrays)
            elif head["ask"] == "taught":
                answer = taught(folder, head["flavours"])
            elif head["ask"] == "estimator":
                outputs = estimator(folder, head)
            else:
                outputs = list(conversions(folder, head))
                answer = {"forms": [form for form, _ in outputs], "libraries": libraries()}
        except Exception as error:  # noqa: BLE001 - whatever the model raises is told, and the next question is awaited
            channel.send({"ok": False, **failure(error)})
        else:
            channel.send({"ok": True, **answer}, outputs)


def main() -> None:
    """`CHANNEL MODEL_FOLDER`: the number of a stream that was handed over, and where the model lies."""
    warnings.simplefilter("ignore")
    descriptor, folder = int(sys.argv[1]), sys.argv[2]
    serve(Channel(descriptor), folder)
