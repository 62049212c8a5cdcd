"""What stays Python: pipelines and an estimator that have no conversion that could be trusted, as one object to be pickled.

The class is pickled by value, with the project's own modules, so the confined process that loads it needs the libraries and
nothing of ours. Hence it imports where it computes, and the objects within are pickles of their own.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

from bailiwick.core.errors import InvalidInput
from bailiwick.training.entrypoint import own_modules
from bailiwick.training.pipelines import LIMIT


class Kept:
    """Answers a data frame with feature columns or, where there is an estimator, with the probability of each row."""

    def __init__(self, graph: bytes, pipelines: Sequence[tuple[Sequence[str], bytes]], estimator: bytes) -> None:
        """`graph` makes the first columns, each pipeline (with the columns that it reads) the next; either may be empty."""
        self.graph = graph
        self.pipelines = [(list(columns), data) for columns, data in pipelines]
        self.estimator = estimator
        self.limit = LIMIT
        self.ready: Any = None

    def predict(self, frame: Any) -> Any:
        """Arrays by name: `features`, or `probability`."""
        import warnings

        import numpy as np

        session, pipelines, estimator = self._loaded()
        parts = []
        if session is not None:
            feed = {}
            for each in session.get_inputs():
                values = frame[each.name].to_numpy()
                kinds = {"tensor(string)": object, "tensor(double)": np.float64}
                feed[each.name] = values.astype(kinds.get(each.type, np.float32)).reshape(-1, 1)
            parts.append(session.run(None, feed)[0])
        for columns, pipeline in pipelines:
            given = frame[columns]
            numbers = [name for name in columns if given[name].dtype.kind in "biuf"]
            bounded = {name: np.clip(given[name].astype(np.float32), -self.limit, self.limit) for name in numbers}
            found = pipeline.transform(given.assign(**bounded))
            found = np.asarray(found.toarray() if hasattr(found, "toarray") else found, np.float32)
            parts.append(found.reshape(len(frame), -1))
        matrix = np.concatenate(parts, axis=1)
        if estimator is None:
            return {"features": matrix}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if hasattr(estimator, "predict_proba"):
                answers = estimator.predict_proba(matrix)[:, 1]
            else:
                answers = estimator.predict(matrix)
        return {"probability": np.asarray(answers, np.float32)}

    def _loaded(self) -> Any:
        import pickle as loader

        if self.ready is None:
            session = None
            if self.graph:
                import onnxruntime

                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = 1
                session = onnxruntime.InferenceSession(self.graph, options, providers=["CPUExecutionProvider"])
            # This runs in the confined process alone, which was given these very bytes to be run.
            pipelines = [(columns, loader.loads(data)) for columns, data in self.pipelines]  # noqa: S301
            self.ready = (session, pipelines, loader.loads(self.estimator) if self.estimator else None)  # noqa: S301
        return self.ready


def pickled(thing: Any, folder: Path) -> bytes:
    """A pickle that needs no module of the project in `folder`. Raises InvalidInput for what cannot be pickled."""
    by_value = [sys.modules[__name__], *own_modules(folder)]
    registered: list[ModuleType] = []
    try:
        for module in by_value:
            cloudpickle.register_pickle_by_value(module)
            registered.append(module)
        return bytes(cloudpickle.dumps(thing))
    except (pickle.PicklingError, TypeError, AttributeError, ValueError) as error:
        raise InvalidInput(
            f"A {type(thing).__name__} cannot be pickled: {error}.", hint="It may hold a lock, a connection or a file."
        ) from error
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)
