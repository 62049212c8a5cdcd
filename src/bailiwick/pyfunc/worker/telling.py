"""What models answer, as JSON."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Callable
from typing import Any


def written(found: Any) -> str:
    """What a model answered, as JSON; tables are lists of records. Raises ValueError for what JSON cannot say."""
    try:
        return json.dumps(plain(found), allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise ValueError("the model answered with something that holds itself, or is nested too deeply") from None


def plain(found: Any) -> Any:
    """Numbers, texts, lists and objects; what is no number, or not there, is null."""
    if found is None or isinstance(found, (bool, int, str)):
        return found if type(found) in {bool, int, str, type(None)} else _of_subclass(found)
    if isinstance(found, float):
        return float(found) if math.isfinite(found) else None
    if isinstance(found, dict):
        return {_key(name): plain(value) for name, value in found.items()}
    if isinstance(found, (list, tuple, set, frozenset)):
        return [plain(each) for each in found]
    for kind, convert in _known():
        if isinstance(found, kind):
            return plain(convert(found))
    for method in ("model_dump", "to_dict", "toarray", "tolist"):  # of pydantic, MLflow's own, scipy, other arrays
        told = getattr(found, method, None)
        if callable(told):
            return plain(told())
    raise ValueError(f"the model answered with a {type(found).__name__}, which JSON cannot say")


def _of_subclass(found: Any) -> Any:
    """As of an enumeration."""
    if isinstance(found, str):
        return str(getattr(found, "value", found))
    return int(found)


def _known() -> list[tuple[Any, Callable[[Any], Any]]]:
    import numpy as np
    import pandas as pd

    return [
        (pd.DataFrame, lambda found: found.to_dict(orient="records")),
        (pd.Series, lambda found: pd.DataFrame(found).to_dict(orient="records")),
        (type(pd.NaT), lambda _: None),
        (type(pd.NA), lambda _: None),
        (np.datetime64, lambda found: None if np.isnat(found) else str(np.datetime_as_string(found))),
        (np.timedelta64, str),
        ((np.ndarray, np.generic), lambda found: found.tolist()),
        ((dt.date, dt.time), lambda found: found.isoformat()),
        ((bytes, bytearray, memoryview), lambda found: base64.b64encode(bytes(found)).decode()),
    ]


def _key(name: Any) -> str:
    if isinstance(name, str):
        return str(name)
    simple = plain(name)
    return simple if isinstance(simple, str) else json.dumps(simple)
