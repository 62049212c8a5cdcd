"""What learners have learnt, as bytes that another process merges: MessagePack of counts, nothing that is executed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from bailiwick.core.errors import Corrupted
from bailiwick.features.learning import Learner
from bailiwick.features.states import Counts, Distribution, Key, LabelCounts


def dump(learners: Sequence[Learner]) -> bytes:
    """The states of all learners, in their order."""
    return msgspec.msgpack.encode([_state_out(getattr(learner, "seen", None)) for learner in learners])


def absorb(learners: Sequence[Learner], learnt: bytes) -> None:
    """Merge dumped states into learners of the same features. Raises Corrupted for bytes that are not such."""
    try:
        states = msgspec.msgpack.decode(learnt, type=list[Any])
        for learner, state in zip(learners, states, strict=True):
            mine: Any = getattr(learner, "seen", None)
            if mine is not None:
                mine.merge(_state_in(mine, state))
    except (msgspec.DecodeError, ValueError, KeyError, TypeError) as error:
        raise Corrupted(f"These bytes are not what a fitting of these features has learnt: {error}.") from error


def _state_out(state: Any) -> Any:
    if isinstance(state, Distribution):
        values, counts = state.counted()
        return {"missing": state.missing, "bits": state.bits, "values": values.tobytes(), "counts": counts.tobytes()}
    if isinstance(state, Counts):
        return _counts_out(state)
    if isinstance(state, LabelCounts):
        return [[_counts_out(each) for each in found] for found in (state.rows, state.positive)]
    return None


def _state_in(like: Any, told: Any) -> Any:
    if isinstance(like, Distribution):
        values, counts = np.frombuffer(told["values"], np.float32), np.frombuffer(told["counts"], np.int64)
        return Distribution.restored(values, counts, missing=told["missing"], bits=told["bits"])
    if isinstance(like, Counts):
        return _counts_in(told)
    found = LabelCounts("", folds=like.folds)
    found.rows, found.positive = ([_counts_in(each) for each in part] for part in told)
    return found


def _counts_out(state: Counts) -> list[Any]:
    return [list(state.counts), list(state.counts.values())]


def _counts_in(told: Any) -> Counts:
    keys, counts = told
    found = Counts("")
    found.update([_key(key) for key in keys], counts)
    return found


def _key(key: Any) -> Key:
    """Pairs come back as lists."""
    return tuple(key) if isinstance(key, list) else key
