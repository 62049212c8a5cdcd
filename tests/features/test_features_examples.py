"""The examples of every transform in the reference, run."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import yaml

from bailiwick.features.compilation import compile_features
from bailiwick.features.derived import Pipelined
from bailiwick.features.fitting import fit_features
from bailiwick.features.graph import FeatureGraph
from bailiwick.features.model import FittedFeatures
from bailiwick.features.options import OPTIONS
from bailiwick.features.specification import parse_features
from bailiwick.training.pipelines import convert_pipeline, fit_pipeline, names_of

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "transforms.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> dict[str, str]:
    """The blocks of the section, by language."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition("## Examples\n")
    return {language or "output": text for language, text in BLOCK.findall(section)}


def computed(folder: Path) -> dict[str, float]:
    """What the example makes of its first row, by column."""
    found = blocks()
    convert = pa_csv.ConvertOptions(strings_can_be_null=False)
    table = pa_csv.read_csv(io.BytesIO(found["csv"].encode()), convert_options=convert)
    specs = parse_features(yaml.safe_load(found["yaml"]))
    labels = np.array(table["late"].to_pylist(), np.int64)
    fitted = fit_features([spec for spec in specs if spec.transform != "sklearn"], table, labels)
    (spec,) = [spec for spec in specs if spec.transform == "sklearn"]
    (folder / "prepare.py").write_text(found["python"], encoding="utf-8")
    columns = {name: table[name].cast(pa.float32()).to_numpy() for name in spec.reads}
    pipeline = fit_pipeline(spec.expression, folder, columns, labels)
    reads = dict.fromkeys(spec.reads, "FP32")
    graph = convert_pipeline(pipeline, reads, opset=20)
    made = Pipelined(spec.column, tuple(reads.items()), names_of(pipeline, columns, len(columns)), graph)
    whole = FittedFeatures(fitted.features, derived=(*fitted.derived, made))
    matrix = FeatureGraph(compile_features(whole)).run(table.slice(0, 1))
    return dict(zip(whole.names, matrix[0].tolist(), strict=True))


def test_every_transform_has_an_example() -> None:
    declared = yaml.safe_load(blocks()["yaml"])
    assert {name for feature in declared.values() for name in feature} == set(OPTIONS)


def test_the_examples_give_what_the_page_says(tmp_path: Path) -> None:
    told = [line.rsplit(maxsplit=1) for line in blocks()["output"].splitlines()]
    found = computed(tmp_path)
    assert [name for name, _ in told] == list(found)
    assert [value for _, value in told] == [f"{value:.6g}" for value in found.values()]
