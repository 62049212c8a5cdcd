"""Write `docs/reference/tfdv-parity.md`: each of TFDV's anomaly types, whether it is found, and the cases that show it.

python tools/tfdv_page.py [--check]
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "tfdv-parity.md"
GOLDEN = ROOT / "tests" / "golden" / "tfdv"
NOT_IN_TFDV = frozenset(
    [
        "BOOL_TYPE_BYTES_NOT_INT",
        "BOOL_TYPE_BYTES_NOT_STRING",
        "BOOL_TYPE_FLOAT_NOT_INT",
        "BOOL_TYPE_FLOAT_NOT_STRING",
        "BOOL_TYPE_INT_NOT_STRING",
        "BOOL_TYPE_STRING_NOT_INT",
        "BOOL_TYPE_INVALID_CONFIG",
        "ENUM_TYPE_BYTES_NOT_STRING",
        "ENUM_TYPE_FLOAT_NOT_STRING",
        "ENUM_TYPE_INT_NOT_STRING",
        "FEATURE_TYPE_NO_VALUES",
        "FEATURE_TYPE_UNEXPECTED_REPEATED",
        "FLOAT_TYPE_NOT_FLOAT",
        "FLOAT_TYPE_NON_STRING",
        "FLOAT_TYPE_UNKNOWN_TYPE_NUMBER",
        "INT_TYPE_INT_EXPECTED",
        "INT_TYPE_NOT_STRING",
        "INT_TYPE_STRING_EXPECTED",
        "INT_TYPE_UNKNOWN_TYPE_NUMBER",
        "SCHEMA_TRAINING_SERVING_SKEW",
        "STRING_TYPE_NOW_FLOAT",
        "STRING_TYPE_NOW_INT",
        "COMPARATOR_TREATMENT_DATA_MISSING",
        "NO_DATA_IN_SPAN",
        "NLP_WRONG_LOCATION",
        "EMBEDDING_SHAPE_INVALID",
        "UNKNOWN_TYPE",
        "MULTIPLE_REASONS",
    ]
)
"""Types that TFDV numbers but that nothing in it raises (its `docs/anomalies.md` and its sources)."""
_DIFFERENCES = """\
* Unset limits allow anything. TFDV reads an unset `unique_constraints.max` as 0, and looks at `max_examples_count` only
  where `min_examples_count` is set.
* NaN counts as different in the Jensen-Shannon divergence always; TFDV forgets it where the histograms' boundaries differ.
* A dataset without examples has the anomaly `DATASET_LOW_NUM_EXAMPLES` as well as `data_missing`, so that emptiness
  cannot pass for health.
* An environment that the schema never names is refused by `validate`; TFDV's C++ reports every feature as new in it.
* Mean, deviation and median are of the finite numbers; TFDV's mean is NaN where there are infinities of both signs.
* Moments and equal-width buckets of numbers past 1e154 are right; TFDV's deviation is 0 or NaN there, and where the range is
  wider than doubles go it has no STANDARD buckets.
* Top values and ranks are counted exactly; TFDV's come from a sketch, whose counts are too high where a feature has some
  thousand different values.
* Arrow's binary columns are BYTES and have sizes; TFDV takes all text and bytes for STRING unless a schema says otherwise.
* Weighted rankings hold every value; TFDV leaves out those that weigh less than 1 (`weighted_frequency_threshold`).
* The shortest sequence of tokens may have 0 of them; TFDV takes 0 for not known yet.
* 2^63 - 1, which is 2^63 in the statistics' doubles, stays the largest whole number; TFDV reads it as -2^63.
* A proposed schema relaxes `dataset_constraints` too; TFDV leaves them.
* Features whose text values are much alike share a domain when a schema is inferred (`Inference.share_domains`).
* Descriptions are our own words; types, severities and order are TFDV's.
"""

_STATISTICS = """\
| of TFDV | here | exact |
|---|---|---|
| common: presence, valency, list lengths, nested levels | `compute_statistics`, `Part` | yes |
| numeric: moments, STANDARD and QUANTILES histograms, zeros, NaN | `compute_statistics`, `Part` | yes; of a source that is streamed, past a million different numbers, to a stated `rank_error` |
| string: unique, top values, rank histogram (texts beyond 1,024 bytes as one, `__LARGE_BYTES__`), average length | `compute_statistics`, `Part` | yes; of a source that is streamed, past a quarter of a million texts, to a stated `count_error` and `unique_error` |
| bytes: unique, sizes | `compute_statistics`, `Part` | yes |
| weighted | `add_weights` | yes; not of lists in lists |
| cross features: covariance, correlation | `add_correlations` | yes, of every row (TFDV: a tenth of the batches) |
| lift | `add_lift` | yes, of labels with single values |
| sparse and weighted features | `add_composites` | yes; of features at the top |
| mutual information with a label | `add_information` | exact on ten bins of equal mass (TFDV: by nearest neighbours, or in partitions), so the numbers differ |
| slices by value, by SQL | `slices_by`, `sql_slices` | yes (TFDV removed slices in SQL) |
| natural language | `add_language` | yes, but no `reported_sequences` (they are whole texts), no location misses |
| time and natural-language domains, inferred | `add_meanings` | on the first 1,000 values (TFDV: all, of texts the first 100 of a batch) |
| merging of partitions | `Part.merge` | yes: same bytes in any order and grouping, while all is exact |
| files: binary, text, TFRecord | `read_statistics`, `write_statistics` | |
| values that may stand for none: empty texts and lists, -1 | `add_empties` | yes |
| custom statistics | `CustomStatistics` | aggregates in SQL, of all rows and of slices (TFDV: generators in Python) |
| fields of structs | not computed; read and validated | TFDV has them for lists of structs (sequence examples), never for CSV, data frames and flat examples; a struct is told by its presence here |
| images, vocabulary files | not computed; read and validated | |
"""


def main() -> None:
    """Write the page, or with `--check` fail where it is out of date."""
    page = render()
    if "--check" in sys.argv:
        if PAGE.read_text(encoding="utf-8") != page:
            sys.exit(f"{PAGE} is out of date: run python tools/tfdv_page.py")
        return
    PAGE.write_text(page, encoding="utf-8")


def render() -> str:
    """The page."""
    files = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(GOLDEN.glob("*.json"))}
    gaps = files.pop("gaps")
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/bailiwick/data/validation").glob("*.py"))
    shown: Counter[str] = Counter(kind for file in files.values() for case in file["cases"] for kind in _kinds(case))
    lines = [
        "# Parity with TensorFlow Data Validation",
        "",
        "<!-- written by tools/tfdv_page.py -->",
        "",
        "`bailiwick data validate` finds what TFDV 1.21 finds, by the same names. The cases are TFDV's own tests, read by",
        "`tools/tfdv_cases.py` and `tools/tfdv_rules.py` into `tests/golden/tfdv` and run by `tests/data/test_tfdv_parity.py` and",
        "`tests/data/test_tfdv_rules.py`. Beside them",
        "`tests/data/test_tfdv_oracle.py` runs TFDV itself (1.16.1, from `tools/tfdv_oracle.py`) and ours on the same random",
        "tables, with values missing, NaN, infinite, of 64 bits, in all scripts and in lists of lists, under random schemas:",
        "every field of the statistics (weights, correlations, language, meanings, empty values, sparse and weighted features too), inferred",
        "schemas, anomalies, distances and relaxed schemas are the same, but for what",
        "is listed under *Different on purpose*. Only what TFDV reads off a sketch of quantiles is compared to its error.",
        "",
        "| source | commit | cases |",
        "|---|---|---|",
    ]
    for file in files.values():
        origin = file["source"]
        lines.append(f"| `{origin['path']}` | `{origin['commit'][:12]}` | {len(file['cases'])} |")
    lines += ["", "## Anomalies", "", "| type | found | of TFDV's cases |", "|---|---|---|"]
    kinds = sorted(set(anomalies_pb2.AnomalyInfo.Type.keys()) - NOT_IN_TFDV)
    for kind in kinds:
        lines.append(f"| `{kind}` | {_found(kind, source)} | {shown[kind] or ''} |")
    raised_nowhere = ", ".join(f"`{kind}`" for kind in sorted(NOT_IN_TFDV - {"UNKNOWN_TYPE", "MULTIPLE_REASONS"}))
    lines += ["", f"TFDV has numbers for these but raises none of them, and neither do we: {raised_nowhere}.", ""]
    lines += ["## Statistics", "", *_STATISTICS.splitlines(), ""]
    lines += ["## Gaps", "", "| case | why |", "|---|---|", *(f"| `{case}` | {why} |" for case, why in gaps.items())]
    lines += ["", "## Different on purpose", "", _DIFFERENCES]
    return "\n".join(lines)


def _kinds(case: Any) -> list[str]:
    reasons = {reason for info in case.get("expected", {}).values() for reason in info["reasons"]}
    return sorted(reasons | set(case.get("kinds") or []))


def _found(kind: str, source: str) -> str:
    if kind == "CUSTOM_VALIDATION":
        return "yes, by SQL checks (TFDV removed its own in 2025)"
    return "yes" if f'"{kind}"' in source else "no"


if __name__ == "__main__":
    main()
