"""Models of which nothing says what they take: asked with documents of MLflow's scoring protocol, answered with JSON.

A document is a JSON object with one of `dataframe_split`, `dataframe_records`, `instances`, `inputs` or, of ours, `csv`;
beside `dataframe_split`, `dtypes` may name pandas' types of columns, which JSON cannot tell. One with none of them and one of
`messages`, `prompt`, `input` is for a language model, and taken whole.
"""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Mapping
from typing import Any

from .channel import Refusal

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs", "csv")
WHOLE = ("messages", "prompt", "input")


class Reader:
    """Makes what a model is called with out of documents, as MLflow's scoring server does.

    `metadata` is what MLflow says of the model, where MLflow has loaded it: with a signature, MLflow's own reading holds
    values to it.
    """

    def __init__(self, metadata: Any = None) -> None:
        self._schema = metadata.get_input_schema() if metadata is not None else None
        hinted = getattr(metadata, "_is_signature_from_type_hint", None)
        self._as_is = bool(hinted is not None and hinted())

    def read(self, text: str) -> tuple[Any, bool]:
        """(what the model is called with, whether that is the document itself). Raises Refusal for what is no document, or
        none of this model.
        """
        document = parsed(text)
        form = form_of(document)
        if not form:
            return document, True
        try:
            return self._built(form, document[form], document.get("dtypes")), False
        except Refusal:
            raise
        except RecursionError:
            raise Refusal(form + " is nested too deeply") from None
        except Exception as error:  # noqa: BLE001 - pandas and MLflow raise what they like, and it is about the document
            raise Refusal(f"{form} cannot be read: {error}") from None

    def _built(self, form: str, said: Any, dtypes: Any) -> Any:
        if form == "csv":
            return self._of_csv(said)
        if self._as_is:
            if form != "inputs":
                raise ValueError("a model whose signature is its type hint takes `inputs`")
            return said
        if self._schema is not None:
            return by_mlflow(form, said, self._schema)
        if form == "dataframe_split":
            return of_split(said, dtypes)
        if form == "dataframe_records":
            return of_records(said)
        return of_arrays(form, said)

    def _of_csv(self, said: Any) -> Any:
        import pandas as pd

        if not isinstance(said, str):
            raise ValueError("it is no text")  # noqa: TRY004 - as everything that cannot be read
        if self._schema is None:
            return pd.read_csv(io.StringIO(said))
        types = dict(zip(self._schema.input_names(), self._schema.pandas_types()))  # noqa: B905 - of one schema
        return pd.read_csv(io.StringIO(said), dtype=types)


def parsed(text: str) -> Mapping[str, Any]:
    """The object. NaN and infinities are numbers here, as Python's clients write them."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"it is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Refusal(f"it is no object with one of {', '.join(FORMS)}")
    return found


def form_of(document: Mapping[str, Any]) -> str:
    """Which of the forms; empty for one that is taken whole."""
    given = [name for name in FORMS if name in document]
    if not given and any(name in document for name in WHOLE):
        return ""
    if len(given) != 1:
        raise Refusal(
            f"it must have exactly one of {', '.join(FORMS)}; it has {', '.join(list(document)[:10]) or 'nothing'}"
        )
    return given[0]


def by_mlflow(form: str, said: Any, schema: Any) -> Any:
    """A table or arrays held to the signature."""
    reading = importlib.import_module("mlflow.utils.proto_json_utils")
    if form.startswith("dataframe_"):
        return reading.dataframe_from_parsed_json(said, form[len("dataframe_") :], schema)
    return reading.parse_tf_serving_input({form: said}, schema=schema)


def of_split(said: Any, dtypes: Any) -> Any:
    """A table by columns and rows. Raises Refusal in MLflow's words, which its clients look for."""
    import pandas as pd

    if not isinstance(said, dict):
        raise Refusal(f"Dataframe split format must be a dictionary. Got {kind_of(said)}.")
    if "data" not in said or said.keys() - {"columns", "data", "index"}:
        keys = ", ".join(map(str, said))[:200]
        raise Refusal(
            f"Dataframe split format must have 'data' field and optionally 'columns' and 'index' fields. Got {keys or 'none'}."
        )
    try:
        made = pd.DataFrame(said["data"], index=said.get("index"), columns=said.get("columns"))
    except Exception as error:  # noqa: BLE001 - pandas raises what it likes, and it is about the document
        raise Refusal(
            f"Provided dataframe_split field is not a valid dataframe representation in 'split' format. Error: {error}"
        ) from None
    return made.astype(dtypes) if dtypes else made


def of_records(said: Any) -> Any:
    """A table by rows. Raises Refusal in MLflow's words."""
    import pandas as pd

    if not isinstance(said, list):
        raise Refusal(f"Dataframe records format must be a list of records. Got {kind_of(said)}.")
    try:
        return pd.DataFrame(said)
    except Exception as error:  # noqa: BLE001 - pandas raises what it likes, and it is about the document
        raise Refusal(
            f"Provided dataframe_records field is not a valid dataframe representation in 'records' format. Error: {error}"
        ) from None


def kind_of(said: Any) -> str:
    """What MLflow calls it."""
    return "dictionary" if isinstance(said, dict) else type(said).__name__


def of_arrays(form: str, said: Any) -> Any:
    """An array, or arrays by name."""
    import numpy as np

    if form == "instances" and isinstance(said, list) and said and isinstance(said[0], dict):
        columns: dict[str, list[Any]] = {}
        for each in said:
            for name, value in each.items():
                columns.setdefault(name, []).append(np.array(value))
        if len({len(values) for values in columns.values()}) > 1:
            raise ValueError("its rows have not all the same names")
        return {name: np.array(values) for name, values in columns.items()}
    if isinstance(said, list) and all(isinstance(each, dict) for each in said):
        return [{name: np.array(value) for name, value in each.items()} for each in said]
    if isinstance(said, dict):
        return {name: np.array(value) for name, value in said.items()}
    return np.array(said)
