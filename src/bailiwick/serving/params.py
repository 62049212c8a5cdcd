"""Params of a request: what it says beside its rows to models that declare such, and what those are run with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np

from bailiwick.core.errors import InvalidInput
from bailiwick.pyfunc.params import ParamSpec, held
from bailiwick.serving.protocol import Refused

Specs = tuple[ParamSpec, ...]


@runtime_checkable
class TakesParams(Protocol):
    """A runtime whose model can be given params; to others those of their signature mean nothing."""

    def run_with(self, feed: Mapping[str, np.ndarray], params: Mapping[str, Any]) -> Sequence[np.ndarray]:
        """As `Runtime.run`, with params as `pyfunc.params.held` gives them."""
        ...


class DeclaredParams:
    """Those of every version behind an endpoint: `live` are those that answer, `beside` shadows and fallbacks."""

    def __init__(self, live: Sequence[Specs], beside: Sequence[Specs] = ()) -> None:
        self._live = [specs for specs in live if specs]
        self.specs: dict[str, ParamSpec] = {}
        for specs in (*live, *beside):
            for spec in specs:
                self.specs.setdefault(spec.name, spec)

    def given(self, parameters: Mapping[str, Any]) -> bytes:
        """What of a request's parameters is declared, in one form: equal bytes for equal params, empty for none.

        Raises Refused (400) for values that a version which may answer does not take.
        """
        found = {name: value for name, value in parameters.items() if name in self.specs}
        if not found:
            return b""
        try:
            json.dumps(found, allow_nan=False)
            written = msgspec.json.encode(found, order="sorted")
        except (ValueError, OverflowError, RecursionError):
            raise Refused(400, "A parameter holds infinity, half a character, or more than can be read.") from None
        for specs in self._live:
            params_of(specs, written)
        return written


def params_of(specs: Specs, given: bytes) -> dict[str, Any]:
    """What one version is run with. Raises Refused (400)."""
    if not given:
        return {}
    try:
        return held(specs, msgspec.json.decode(given))
    except InvalidInput as error:
        raise Refused(400, error.message) from None
