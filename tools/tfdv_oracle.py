#!/usr/bin/env python3
"""Make `.tfdv`, an environment with TFDV itself, that a test holds ours against; or, in there, answer what it asks.

    python tools/tfdv_oracle.py                               needs Python 3.11, a C compiler, 1.7 GB and some minutes
    .tfdv/bin/python tools/tfdv_oracle.py --answer FOLDER     as the test calls it

1.16.1 is the last release with wheels for glibc before 2.39. Its requirements cannot be resolved in a useful time, so
the versions that work together are listed whole in `requirements/tfdv.txt`. Nothing of Bailiwick is imported there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".tfdv"
LIST = ROOT / "requirements" / "tfdv.txt"


def make() -> None:
    """Make or renew it; nothing is done when its list has not changed."""
    done = HOME / "made-from.txt"
    if done.is_file() and done.read_bytes() == LIST.read_bytes():
        return
    print(f"TFDV: installing {LIST.name} …", flush=True)
    shutil.rmtree(HOME, ignore_errors=True)
    subprocess.run(["python3.11", "-m", "venv", str(HOME)], check=True)
    python = str(HOME / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "setuptools<70", "wheel"], check=True)  # pyfarmhash is built, and builds with these
    subprocess.run([*install, "--no-deps", "--no-build-isolation", "-r", str(LIST)], check=True)
    done.write_bytes(LIST.read_bytes())


def answer(folder: Path) -> None:
    """For each `NAME.json` in the folder, beside its tables, what TFDV makes of them.

    A question names Arrow files: `one` and `other`, each with lists in every column. The answers are messages in text
    format: the statistics of both, the schema of the first, with comparators, the anomalies of the second against it and
    the schema that allows the second; the last two against each of `schemas` too; and the second's
    statistics with the schema `composites`, by weight, with `crosses`, as language, of empty values and of meanings.
    """
    import pyarrow as pa
    import tensorflow_data_validation as tfdv
    from google.protobuf import text_format
    from tensorflow_data_validation.statistics import stats_impl
    from tensorflow_data_validation.statistics.generators.cross_feature_stats_generator import (
        CrossFeatureStatsGenerator,
    )
    from tensorflow_data_validation.statistics.generators.empty_value_counter_generator import (
        EmptyValueCounterGenerator,
    )
    from tensorflow_data_validation.statistics.generators.natural_language_stats_generator import NLStatsGenerator

    def statistics(path: Path, **options: object) -> object:
        with pa.OSFile(str(path)) as file:
            table = pa.ipc.open_file(file).read_all().combine_chunks()
        (batch,) = table.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]
        return stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions(**options))

    for path in sorted(folder.glob("*.json")):
        asked = json.loads(path.read_text(encoding="utf-8"))
        told: dict[str, object] = {}
        try:
            one, other = (statistics(folder / asked[name]) for name in ("one", "other"))
            told.update(one=one, other=other)
            composites = text_format.Parse(asked["composites"], tfdv.infer_schema(one).__class__())
            other_path, crosses = folder / asked["other"], [tuple(pair) for pair in asked["crosses"]]
            told["composites"] = statistics(other_path, schema=composites)
            told["weighted"] = statistics(other_path, weight_feature="weight", weighted_frequency_threshold=1e-9)
            told["meanings"] = statistics(other_path, enable_semantic_domain_stats=True)
            crossing = CrossFeatureStatsGenerator(feature_crosses=crosses, sample_rate=1.0)
            told["crossed"] = statistics(other_path, generators=[crossing])
            told["empties"] = statistics(other_path, generators=[EmptyValueCounterGenerator()])
            language = NLStatsGenerator(composites, {}, 10, 10, 1000)
            language.setup()  # which TFDV forgets where it works in memory
            told["language"] = statistics(other_path, generators=[language])
            told["shapes"] = tfdv.infer_schema(one, infer_feature_shape=True, max_string_domain_size=20)
            schema = tfdv.infer_schema(one, infer_feature_shape=False, max_string_domain_size=20)
            for feature in schema.feature:
                for comparator in (feature.drift_comparator, feature.skew_comparator):
                    if feature.type == 1:
                        comparator.infinity_norm.threshold = asked["threshold"]
                    comparator.jensen_shannon_divergence.threshold = asked["threshold"]
                    if feature.type != 1:
                        comparator.jensen_shannon_divergence.source.type = int(asked["quantiles"]) + 1
            told["schema"] = schema
            told["anomalies"] = tfdv.validate_statistics(other, schema, previous_statistics=one, serving_statistics=one)
            told["relaxed"] = tfdv.update_schema(schema, other)
            for place, text in enumerate(asked["schemas"]):
                tight = text_format.Parse(text, type(schema)())
                told[f"anomalies{place}"] = tfdv.validate_statistics(other, tight)
                told[f"relaxed{place}"] = tfdv.update_schema(tight, other)
        except Exception as error:  # noqa: BLE001 - that TFDV cannot do it is an answer
            told["error"] = f"{type(error).__name__}: {error}"
        texts = {
            name: value if isinstance(value, str) else text_format.MessageToString(value, as_one_line=True)
            for name, value in told.items()
        }
        path.with_suffix(".told").write_text(json.dumps(texts), encoding="utf-8")


def main() -> None:
    """Make the environment, or answer from within it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--answer", type=Path, metavar="FOLDER", help="answer the questions in this folder")
    folder = options.parse_args().answer
    if folder is None:
        make()
    else:
        answer(folder)


if __name__ == "__main__":
    main()
