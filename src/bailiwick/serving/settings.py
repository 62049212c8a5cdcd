"""What clients of inference are told of how versions are run."""

from __future__ import annotations

from bailiwick.serving.router import CompiledEndpoint
from bailiwick.serving.runtime import threads_here


def setting_parameters(compiled: CompiledEndpoint) -> dict[str, dict[str, str]]:
    """Triton's `parameters` of a model configuration.

    `intra_op_thread_count` is the word of Triton's ONNX Runtime backend, and means the threads that there are now; of
    several versions each has its own, under `VARIANT.intra_op_thread_count`. `most_rows` is the largest run of several
    requests, 0 where requests are never run together.
    """
    found = {"most_rows": str(compiled.most_rows)}
    for arm in compiled.arms:
        before = "" if len(compiled.arms) == 1 else f"{arm.variant.name}."
        if arm.runtime.platform == "onnx_onnxv1":
            found[f"{before}intra_op_thread_count"] = str(threads_here(arm.variant.setting.threads))
        if arm.variant.setting.workers:
            found[f"{before}advised_workers"] = str(arm.variant.setting.workers)
    return {name: {"string_value": value} for name, value in sorted(found.items())}
