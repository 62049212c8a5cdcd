"""ONNX graphs that nobody has tried yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .channel import Head, Named
from .loading import inside


def graph_of(folder: str, head: Head) -> Any:
    """A session of ONNX Runtime. One thread; nothing on the terminal, and no arena, which takes more than is asked for."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    path = inside(folder, head["file"])
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def about_graph(session: Any) -> Head:
    """What a session says of its outputs."""
    return {"outputs": [[each.name, each.type, list(each.shape or ())] for each in session.get_outputs()]}


def run_graph(session: Any, head: Head, arrays: Sequence[Any]) -> Named:
    """Its outputs by name; of those that are maps, the values of the keys that are asked for."""
    import numpy as np

    feed = {about["names"][0]: values for about, values in zip(head["arrays"], arrays)}  # noqa: B905
    found = []
    for name, values in zip(head["outputs"], session.run(head["outputs"], feed)):  # noqa: B905
        keys = head["maps"].get(name)
        found.append((name, values if keys is None else np.array([[row[key] for key in keys] for row in values], "f4")))
    return found
