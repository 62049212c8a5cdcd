"""Every classic call of the client, with right and wrong arguments; prints what each returned or raised, normalised.

Ids, times and addresses become names in order of appearance, so that two servers can be compared line by line.
"""

import json
import math
import pathlib
import re
import tempfile
import time

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, InputTag, LoggedModelStatus, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

client = MlflowClient()
said: list[list[object]] = []
names: dict[str, str] = {}
ID = re.compile(r"\bm-[0-9a-f]{32}\b|\b[0-9a-f]{32}\b")
TIMES = {"creation_time", "last_update_time", "creation_timestamp", "last_updated_timestamp", "start_time", "end_time"}
BEGAN = int(time.time() * 1000)


def plain(value, key=""):
    """Any result as JSON values, normalised."""
    if key in TIMES or (key == "timestamp" and isinstance(value, int) and value > BEGAN - 1_000_000):
        return "<time>" if value else value
    if key == "experiment_id" and value != "0":
        return names.setdefault(f"experiment {value}", f"<experiment {len(names)}>")
    if isinstance(value, dict):
        return {str(inner): plain(value[inner], str(inner)) for inner in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (int, float, bool)) or value is None:
        return value
    if isinstance(value, str):
        return text(value)
    if hasattr(value, "__iter__") and not isinstance(value, (bytes, set)):
        try:
            return plain(dict(value))
        except (TypeError, ValueError):
            return [plain(each) for each in value]
    return text(str(value))


def text(value):
    """A text without ids and addresses."""
    value = ID.sub(lambda found: names.setdefault(found[0], f"<id {len(names)}>"), value)
    value = re.sub(r"mlflow-artifacts:/(//)?[\w.:]*", "mlflow-artifacts:", value)
    return re.sub(r"http://127\.0\.0\.1:\d+", "<server>", value)


def do(name, call, keep=lambda result: result):
    """Say what a call returned, or the code of what it raised; returns the result."""
    try:
        result = call()
    except MlflowException as error:
        said.append([name, "raised", error.error_code])
        return None
    except Exception as error:  # the client's own refusal
        said.append([name, "failed", type(error).__name__])
        return None
    said.append([name, "returned", None if result is None else plain(keep(result))])
    return result


def run_of(run):
    """What a run's entity holds, without what the client itself adds."""
    info = dict(run.info)
    kept = {
        key: info[key]
        for key in ("run_id", "experiment_id", "status", "lifecycle_stage", "artifact_uri", "user_id", "run_name")
    }
    metrics = sorted([each.key, each.value, each.step, each.timestamp] for each in run.data._metric_objs)
    inputs = [
        [each.dataset.name, each.dataset.digest, each.dataset.source_type, {t.key: t.value for t in each.tags}]
        for each in run.inputs.dataset_inputs
    ]
    return {"info": kept, "params": run.data.params, "tags": run.data.tags, "metrics": metrics, "inputs": inputs}


def ids(runs):
    """Names of runs, in order."""
    return [each.info.run_name for each in runs]


# -- experiments ---------------------------------------------------------------------------------------------------

one = do(
    "create experiment", lambda: client.create_experiment("one", tags={"team": "core", "empty": ""}), lambda _: "made"
)
two = do("create another", lambda: client.create_experiment("two"), lambda _: "made")
do("create it again", lambda: client.create_experiment("one"))
do("create without a name", lambda: client.create_experiment(""))
do("create with a long name", lambda: client.create_experiment("x" * 501))
do("get by name", lambda: client.get_experiment_by_name("one"), lambda e: [e.name, e.tags, e.lifecycle_stage])
do("get missing by name", lambda: client.get_experiment_by_name("missing"))
do("get default", lambda: client.get_experiment("0"), lambda e: [e.experiment_id, e.name])
do("get missing", lambda: client.get_experiment("999999999"))
do("get nonsense", lambda: client.get_experiment("nonsense"))
do("rename", lambda: client.rename_experiment(two, "zwei"))
do("renamed", lambda: client.get_experiment(two).name)
do("rename to a taken name", lambda: client.rename_experiment(two, "one"))
do("tag", lambda: client.set_experiment_tag(one, "a b/c.d-e", "v"))
do("tag with a bad key", lambda: client.set_experiment_tag(one, "a\nb", "v"))
do("tagged", lambda: client.get_experiment(one).tags)
do("delete", lambda: client.delete_experiment(two))
do("delete missing", lambda: client.delete_experiment("999999999"))
do("deleted is read", lambda: client.get_experiment(two).lifecycle_stage)
do("create with a deleted one's name", lambda: client.create_experiment("zwei"))
do("set a deleted one", lambda: mlflow.set_experiment("zwei"))
do("rename a deleted one", lambda: client.rename_experiment(two, "drei"))
do("run in a deleted one", lambda: client.create_run(two))
for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL):
    do(
        f"search view {view}",
        lambda view=view: client.search_experiments(view_type=view, order_by=["name ASC"]),
        lambda found: [e.name for e in found],
    )
do("restore", lambda: client.restore_experiment(two))
for number in range(5):
    client.create_experiment(f"many {number}", tags={"n": str(number % 2)})
for words in (
    "name LIKE 'many%'",
    "name ILIKE 'MANY%'",
    "name = 'one'",
    "name != 'one'",
    "tags.n = '1'",
    "tags.n != '1'",
    "tag.n LIKE '%'",
    "tags.`team` = 'core'",
    "name",
    "nonsense = 'x'",
    "name = 1",
    "tags.n > '1'",
    "creation_time > 0",
):
    do(
        f"search {words}",
        lambda words=words: client.search_experiments(filter_string=words, order_by=["name"]),
        lambda found: [e.name for e in found],
    )
page = do(
    "page",
    lambda: client.search_experiments(max_results=3, order_by=["name DESC"]),
    lambda found: [[e.name for e in found], bool(found.token)],
)
do(
    "next page",
    lambda: client.search_experiments(max_results=3, order_by=["name DESC"], page_token=page.token),
    lambda found: [e.name for e in found],
)
do("bad token", lambda: client.search_experiments(max_results=3, page_token="nonsense"), lambda _: "any")
do("too many", lambda: client.search_experiments(max_results=50_001))
do("none", lambda: client.search_experiments(max_results=0))
do("bad order", lambda: client.search_experiments(order_by=["nonsense"]))

# -- runs ----------------------------------------------------------------------------------------------------------

run = client.create_run(one, start_time=1000, tags={"team": "core"}, run_name="first")
key = run.info.run_id
do("created", lambda: run, run_of)
do("unnamed run has a name", lambda: client.create_run(one, start_time=1), lambda r: bool(r.info.run_name))
do("run in a missing experiment", lambda: client.create_run("999999999"))
do("name and tag differ", lambda: client.create_run(one, run_name="a", tags={"mlflow.runName": "b"}))
do(
    "name by tag",
    lambda: client.create_run(one, start_time=2, tags={"mlflow.runName": "tagged"}),
    lambda r: r.info.run_name,
)
do("get missing run", lambda: client.get_run("0" * 32))
do("log metric", lambda: client.log_metric(key, "m", 1.5, timestamp=10, step=1))
do("log it again", lambda: client.log_metric(key, "m", 1.5, timestamp=10, step=1))
do("log an earlier step later", lambda: client.log_metric(key, "m", 9.0, timestamp=20, step=0))
do("log nan", lambda: client.log_metric(key, "nan", math.nan, timestamp=1, step=0))
do("log infinity", lambda: client.log_metric(key, "inf", math.inf, timestamp=1, step=0))
do("log minus infinity", lambda: client.log_metric(key, "-inf", -math.inf, timestamp=1, step=0))
do("log odd key", lambda: client.log_metric(key, "a b/c.d-e_f:g", 1, timestamp=1, step=-5))
for bad in ("", "../a", "/a", "a//b", "a/../b", "./a", "a\tb", "x" * 251, "a#b", "é"):
    do(f"log metric {bad[:10]!r}", lambda bad=bad: client.log_metric(key, bad, 1.0, timestamp=1, step=0))
    do(f"log param {bad[:10]!r}", lambda bad=bad: client.log_param(key, bad, "v"))
    do(f"set tag {bad[:10]!r}", lambda bad=bad: client.set_tag(key, bad, "v"))
do("log text as metric", lambda: client.log_metric(key, "m", "high"))
do("log param", lambda: client.log_param(key, "p", "1"))
do("log param again", lambda: client.log_param(key, "p", "1"))
do("change param", lambda: client.log_param(key, "p", "2"))
do("empty param", lambda: client.log_param(key, "empty", ""))
do("long param", lambda: client.log_param(key, "long", "x" * 6001))
do("set tag", lambda: client.set_tag(key, "t", "1"))
do("set tag again", lambda: client.set_tag(key, "t", "2"))
do("long tag", lambda: client.set_tag(key, "long", "x" * 8001))
do("rename by tag", lambda: client.set_tag(key, "mlflow.runName", "renamed"))
do("delete tag", lambda: client.delete_tag(key, "t"))
do("delete missing tag", lambda: client.delete_tag(key, "t"))
do(
    "batch",
    lambda: client.log_batch(
        key,
        [Metric("b", 1.0, 5, 1), Metric("b", 2.0, 5, 2), Metric("b", 2.0, 5, 2)],
        [Param("q", "1")],
        [RunTag("u", "1"), RunTag("u", "2")],
    ),
)
do("batch with a changed param", lambda: client.log_batch(key, [Metric("never", 1.0, 5, 1)], [Param("q", "2")]))
do("batch with one param twice", lambda: client.log_batch(key, params=[Param("z", "1"), Param("z", "2")]))
do("batch with a bad key", lambda: client.log_batch(key, [Metric("good", 1.0, 5, 1), Metric("../bad", 1.0, 5, 1)]))
do("batch of nothing", lambda: client.log_batch(key))
do("log to a missing run", lambda: client.log_metric("0" * 32, "m", 1.0))
do("param to a missing run", lambda: client.log_param("0" * 32, "m", "1"))
do("read", lambda: client.get_run(key), run_of)
do(
    "history",
    lambda: client.get_metric_history(key, "m"),
    lambda found: [[p.value, p.timestamp, p.step] for p in found],
)
do("history of nan", lambda: client.get_metric_history(key, "nan"), lambda found: [str(p.value) for p in found])
do("history of nothing", lambda: client.get_metric_history(key, "missing"), list)
do("history of a missing run", lambda: client.get_metric_history("0" * 32, "m"), list)
do("update", lambda: client.update_run(key, status="FINISHED", name="ended"))
do("bad status", lambda: client.update_run(key, status="DONE"))
do("updated", lambda: client.get_run(key).info, lambda i: [i.status, i.run_name])
do("terminate", lambda: client.set_terminated(key, status="FAILED", end_time=5000))
do("terminated", lambda: client.get_run(key).info, lambda i: [i.status, i.end_time and "ended"])
do("delete run", lambda: client.delete_run(key))
do("log to a deleted run", lambda: client.log_metric(key, "m", 1.0))
do("tag a deleted run", lambda: client.set_tag(key, "t", "1"))
do("delete it again", lambda: client.delete_run(key))
do("deleted run is read", lambda: client.get_run(key).info.lifecycle_stage)
do("restore run", lambda: client.restore_run(key))
do("restore it again", lambda: client.restore_run(key))
do("delete missing run", lambda: client.delete_run("0" * 32))

# -- searching runs ------------------------------------------------------------------------------------------------

found = client.create_experiment("searched")
for number in range(6):
    made = client.create_run(found, start_time=100 + number, run_name=f"r{number}").info.run_id
    client.log_metric(made, "x", math.nan if number == 5 else number / 10, timestamp=1, step=0)
    if number % 2:
        client.log_metric(made, "odd one", float(number), timestamp=1, step=0)
        client.log_param(made, "p", "Odd" if number == 1 else "odd")
    client.set_tag(made, "group.name", "ab"[number % 2])
    if number == 4:
        client.set_terminated(made, end_time=999)
for words in (
    "metrics.x > 0.1",
    "metrics.x >= 0.1 and metrics.x < 0.4",
    "metric.x != 0.1",
    "metrics.x = 0.1",
    "metrics.`odd one` > 1",
    'metrics."odd one" > 1',
    "params.p = 'odd'",
    "params.p != 'odd'",
    "params.p LIKE 'o%'",
    "params.p ILIKE 'O%'",
    "param.p IS NULL",
    "params.p IS NOT NULL",
    "tags.group.name = 'a'",
    "tags.`group.name` != 'a'",
    "tag.missing IS NULL",
    "attributes.status = 'FINISHED'",
    "status = 'RUNNING'",
    "attr.run_name = 'r1'",
    "run_name LIKE 'r%'",
    "run.start_time > 102",
    "attributes.end_time > 0",
    "attributes.run_id IN ('nothing')",
    "attributes.`run name` = 'r2'",
    "created > 103",
    "user_id = 'x'",
    "artifact_uri LIKE '%'",
    "metrics.x > '0.1'",
    "params.p = 1",
    "params.p > 'a'",
    "metrics.x LIKE 'a'",
    "nonsense.x = 1",
    "attributes.nonsense = 'a'",
    "metrics.x > 0.1 OR metrics.x < 0.2",
    "(metrics.x > 0.1)",
    "metrics.x",
    "metrics.x >",
    "status IN ('RUNNING')",
    "metrics.missing > 0",
    "dataset.name = 'd'",
    "datasets.digest IN ('d1')",
):
    do(f"runs where {words}", lambda words=words: client.search_runs([found], words), ids)
for order in (
    ["metrics.x DESC"],
    ["metrics.x ASC"],
    ["metrics.`odd one` DESC", "attributes.start_time ASC"],
    ["params.p ASC", "start_time"],
    ["tags.group.name DESC", "start_time DESC"],
    ["start_time ASC"],
    ["attributes.end_time DESC"],
    ["run_name DESC"],
    ["created DESC"],
    ["nonsense.x"],
    ["metrics.x DOWN"],
    ["metrics.x DESC", "metrics.x ASC"],
    ["attributes.status", "run_name"],
):
    do(f"runs by {order}", lambda order=order: client.search_runs([found], order_by=order), ids)
first = do(
    "runs page",
    lambda: client.search_runs([found], max_results=4, order_by=["metrics.x DESC"]),
    lambda r: [ids(r), bool(r.token)],
)
do(
    "runs next page",
    lambda: client.search_runs([found], max_results=4, order_by=["metrics.x DESC"], page_token=first.token),
    lambda r: [ids(r), bool(r.token)],
)
do("runs of nothing", lambda: client.search_runs([]), ids)
do("runs of two experiments", lambda: client.search_runs([found, one], "metrics.x > 0.2", order_by=["run_name"]), ids)
do("too many runs", lambda: client.search_runs([found], max_results=50_001), ids)
do("deleted runs", lambda: client.search_runs([found], run_view_type=ViewType.DELETED_ONLY), ids)

# -- datasets and artifacts ------------------------------------------------------------------------------------------

table = mlflow.data.from_pandas(pd.DataFrame({"a": [1, 2]}), source="s.csv", name="table")
entity = table._to_mlflow_entity()
do("log inputs", lambda: client.log_inputs(key, [DatasetInput(entity, [InputTag("mlflow.data.context", "train")])]))
do("log them again", lambda: client.log_inputs(key, [DatasetInput(entity, [InputTag("mlflow.data.context", "train")])]))
do("inputs", lambda: client.get_run(key), lambda r: run_of(r)["inputs"])
do("runs of a dataset", lambda: client.search_runs([one], "dataset.name = 'table'"), ids)
do("runs of a context", lambda: client.search_runs([one], "datasets.context = 'train'"), ids)
do("inputs of a missing run", lambda: client.log_inputs("0" * 32, [DatasetInput(entity, [])]))
do("log text", lambda: client.log_text(key, "hello", "notes/a b.txt"))
do("log dict", lambda: client.log_dict(key, {"a": 1}, "d.json"))
listed = lambda files: sorted([each.path, each.is_dir, each.file_size] for each in files)
do("list", lambda: client.list_artifacts(key), listed)
do("list a folder", lambda: client.list_artifacts(key, "notes"), listed)
do("list a file", lambda: client.list_artifacts(key, "d.json"), listed)
do("list nothing", lambda: client.list_artifacts(key, "missing"), listed)
with tempfile.TemporaryDirectory() as folder:
    do("download", lambda: pathlib.Path(client.download_artifacts(key, "notes/a b.txt", folder)).read_text())
    do("download nothing", lambda: client.download_artifacts(key, "missing", folder), lambda _: "something")
    pathlib.Path(folder, "empty.bin").write_bytes(b"")
    do("log an empty file", lambda: client.log_artifact(key, f"{folder}/empty.bin", "deep/er"))
do("list deeper", lambda: client.list_artifacts(key, "deep/er"), listed)

# -- logged models ---------------------------------------------------------------------------------------------------

model = do(
    "logged model",
    lambda: client.create_logged_model(
        one, name="lm", source_run_id=key, tags={"a": "1"}, params={"p": "1"}, model_type="T"
    ),
    lambda m: [m.model_id, m.name, m.status, m.tags, m.params, m.model_type],
)
do("finalize", lambda: client.finalize_logged_model(model.model_id, LoggedModelStatus.READY), lambda m: str(m.status))
do(
    "get logged model",
    lambda: client.get_logged_model(model.model_id),
    lambda m: [m.name, m.artifact_location, m.source_run_id, str(m.status)],
)
do("get missing logged model", lambda: client.get_logged_model("m-" + "0" * 32))
do("tag logged model", lambda: client.set_logged_model_tags(model.model_id, {"b": "2"}))
do("untag logged model", lambda: client.delete_logged_model_tag(model.model_id, "a"))
do("untag it again", lambda: client.delete_logged_model_tag(model.model_id, "a"))
do("metric of a model", lambda: client.log_metric(key, "lm", 0.7, timestamp=1, step=0, model_id=model.model_id))
for words in (
    None,
    "name = 'lm'",
    "metrics.lm > 0.5",
    "metrics.lm > 0.9",
    "params.p = '1'",
    "tags.b = '2'",
    "status = 'READY'",
    "name",
    "nonsense.x = 1",
):
    do(
        f"models where {words}",
        lambda words=words: client.search_logged_models([one], filter_string=words),
        lambda found: [m.name for m in found],
    )
do(
    "a later step of a model, measured earlier",
    lambda: client.log_metric(key, "lm", 0.2, timestamp=0, step=5, model_id=model.model_id),
)
for words in ("metrics.lm > 0.5", "metrics.lm < 0.5", "params.p = 1", "params.p = 1.0", "status IN ('READY')"):
    do(
        f"models now where {words}",
        lambda words=words: client.search_logged_models([one], filter_string=words),
        lambda found: [m.name for m in found],
    )
do(
    "models by metric",
    lambda: client.search_logged_models([one], order_by=[{"field_name": "metrics.lm", "ascending": False}]),
    lambda found: [m.name for m in found],
)
do("delete logged model", lambda: client.delete_logged_model(model.model_id))
do("deleted logged model", lambda: client.get_logged_model(model.model_id))

# -- registry --------------------------------------------------------------------------------------------------------

registered = lambda m: [
    m.name,
    m.description,
    m.tags,
    m.aliases,
    sorted([v.version, v.current_stage] for v in m.latest_versions),
]
versioned = lambda v: [
    v.name,
    str(v.version),
    v.description,
    v.current_stage,
    v.source,
    v.run_id,
    v.status,
    v.tags,
    sorted(v.aliases),
]
do("register", lambda: client.create_registered_model("m", tags={"a": "1"}, description="d"), registered)
do("register again", lambda: client.create_registered_model("m"))
for bad in ("", "a/b", "a:b", " "):
    do(f"register {bad!r}", lambda bad=bad: client.create_registered_model(bad), lambda _: "made")
do("get missing model", lambda: client.get_registered_model("missing"))
source = client.get_run(key).info.artifact_uri + "/notes"
for _ in range(3):
    do("version", lambda: client.create_model_version("m", source, key, tags={"t": "1"}, description="v"), versioned)
do("version of a missing model", lambda: client.create_model_version("missing", source, key))
do("version from a local path", lambda: client.create_model_version("m", "/etc", key))
do("version from a climbing path", lambda: client.create_model_version("m", source + "/../../x", key))
do("get version", lambda: client.get_model_version("m", "2"), versioned)
for bad in ("9", "0", "-1", "x"):
    do(f"get version {bad}", lambda bad=bad: client.get_model_version("m", bad))
do("update version", lambda: client.update_model_version("m", "1", "new"), versioned)
do("update model", lambda: client.update_registered_model("m", "newer"), registered)
do("tag model", lambda: client.set_registered_model_tag("m", "b", "2"))
do("untag model", lambda: client.delete_registered_model_tag("m", "a"))
do("untag it again", lambda: client.delete_registered_model_tag("m", "a"))
do("tag version", lambda: client.set_model_version_tag("m", "1", "u", "2"))
do("untag version", lambda: client.delete_model_version_tag("m", "1", "t"))
do("tag missing version", lambda: client.set_model_version_tag("m", "9", "u", "2"))
do("alias", lambda: client.set_registered_model_alias("m", "champion", "1"))
do("move alias", lambda: client.set_registered_model_alias("m", "champion", "2"))
for bad in ("latest", "v1", "a b", "", "x" * 256):
    do(f"alias {bad[:10]!r}", lambda bad=bad: client.set_registered_model_alias("m", bad, "1"))
do("alias on a missing version", lambda: client.set_registered_model_alias("m", "a", "9"))
do("by alias", lambda: client.get_model_version_by_alias("m", "champion"), versioned)
do("by latest", lambda: client.get_model_version_by_alias("m", "latest"), versioned)
do("by missing alias", lambda: client.get_model_version_by_alias("m", "missing"))
do("delete missing alias", lambda: client.delete_registered_model_alias("m", "missing"))
do("model", lambda: client.get_registered_model("m"), registered)
do("stage", lambda: client.transition_model_version_stage("m", "1", "staging"), versioned)
do(
    "stage two",
    lambda: client.transition_model_version_stage("m", "2", "Staging", archive_existing_versions=True),
    versioned,
)
do("archived", lambda: client.get_model_version("m", "1").current_stage)
do("bad stage", lambda: client.transition_model_version_stage("m", "1", "Nowhere"))
do(
    "latest",
    lambda: client.get_latest_versions("m"),
    lambda found: sorted([str(v.version), v.current_stage] for v in found),
)
do(
    "latest staging",
    lambda: client.get_latest_versions("m", ["Staging"]),
    lambda found: [str(v.version) for v in found],
)
do("download uri", lambda: client.get_model_version_download_uri("m", "1"))
do("delete version", lambda: client.delete_model_version("m", "3"))
do("delete it again", lambda: client.delete_model_version("m", "3"))
do("next version", lambda: client.create_model_version("m", source, key), lambda v: str(v.version))
client.create_registered_model("other", tags={"a": "2"})
client.create_registered_model("third")
for words in (
    None,
    "name = 'm'",
    "name LIKE 'o%'",
    "name ILIKE 'O%'",
    "tags.a = '2'",
    "tags.a != '2'",
    "name != 'm'",
    "nonsense = 'a'",
    "name > 'a'",
    "name",
):
    do(
        f"registered where {words}",
        lambda words=words: client.search_registered_models(words),
        lambda found: [m.name for m in found],
    )
do(
    "registered by",
    lambda: client.search_registered_models(order_by=["name DESC"], max_results=2),
    lambda found: [[m.name for m in found], bool(found.token)],
)
for words in (
    "",
    "name = 'm'",
    "name = 'missing'",
    "run_id = 'x'",
    "tags.u = '2'",
    "version_number > 1",
    "name = 'm' and version_number = 1",
    "source_path LIKE '%notes'",
    "nonsense = 'a'",
):
    do(
        f"versions where {words}",
        lambda words=words: client.search_model_versions(words),
        lambda found: [[v.name, str(v.version)] for v in found],
    )
do("rename model", lambda: client.rename_registered_model("m", "renamed"), registered)
do("rename to a taken name", lambda: client.rename_registered_model("renamed", "other"))
do("old name", lambda: client.get_registered_model("m"))
do("delete model", lambda: client.delete_registered_model("renamed"))
do("deleted model", lambda: client.get_registered_model("renamed"))
do("delete it again", lambda: client.delete_registered_model("renamed"))
do("make it anew", lambda: client.create_registered_model("renamed"), registered)
print(json.dumps(said))
