"""Where each record has its page. Ids from any domain become links here, so that no page shows an id that leads nowhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape

from bailiwick.server.ui.words import short


def _at(*parts: object) -> str:
    return "/" + "/".join(quote(str(part), safe="") for part in parts)


def endpoint(name: str) -> str:
    """The page of an endpoint."""
    return _at("endpoints", name)


def prediction(prediction_id: str, endpoint_name: str = "", *, explain: bool = False) -> str:
    """The page of a prediction; `endpoint_name` where ids that clients chose may be of several."""
    asked = {"endpoint": endpoint_name, "explain": "1" if explain else ""}
    return _with_query(_at("predictions", prediction_id), asked)


def predictions(**asked: str) -> str:
    """The list of predictions, by filters."""
    return _with_query("/predictions", asked)


def _with_query(path: str, asked: dict[str, str]) -> str:
    pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items() if value)
    return f"{path}?{pairs}" if pairs else path


def monitor(name: str) -> str:
    """The page of an endpoint's monitor."""
    return _at("monitor", name)


def alarm(endpoint_name: str, alarm_id: str) -> str:
    """An alarm, within its endpoint's monitor; one about data is among all open alarms."""
    place = monitor(endpoint_name) if endpoint_name else "/monitor"
    return f"{place}#alarm-{quote(alarm_id, safe='')}"


def model(name: str) -> str:
    """The page of a model."""
    return _at("models", name)


def version(model_name: str, number: int) -> str:
    """The page of a model version."""
    return _at("models", model_name, "versions", number)


def card(model_name: str, number: int) -> str:
    """The page of a version's model card."""
    return _at("models", model_name, "versions", number, "card")


def card_file(model_name: str, number: int, form: str) -> str:
    """The card as a file."""
    return f"/api/v1{card(model_name, number)}?format={quote(form, safe='')}"


def approval(request_id: str) -> str:
    """An approval request, within the list of all."""
    return f"/approvals#request-{quote(request_id, safe='')}"


def rollout(rollout_id: str) -> str:
    """The page of a rollout."""
    return _at("rollouts", rollout_id)


def pipeline_run(run_id: str) -> str:
    """The page of a pipeline run."""
    return _at("pipelines", run_id)


def run(run_id: str) -> str:
    """The page of a training run."""
    return _at("runs", run_id)


def experiment(experiment_id: str) -> str:
    """The page of an experiment."""
    return _at("experiments", experiment_id)


def experiment_named(name: str) -> str:
    """The list of experiments with the one of that name, which the journal knows it by."""
    quoted = name.replace("'", "''")
    wanted = f"name = '{quoted}'"
    return f"/experiments?{query({'q': wanted, 'view': 'ALL'})}"


def experiment_models(experiment_id: str) -> str:
    """The logged models of an experiment."""
    return _at("experiments", experiment_id, "models")


def logged_model(model_id: str) -> str:
    """The page of a logged model."""
    return _at("logged-models", model_id)


def files(owner: str, path: str) -> str:
    """A folder or file of a run or logged model, whose page is `owner`."""
    return f"{owner}/files?path={quote(path, safe='/')}" if path else f"{owner}/files"


def file_content(owner: str, path: str) -> str:
    """The bytes of a file, to be saved."""
    return f"/api/v1{owner}/files/content?path={quote(path, safe='/')}"


def file_image(owner: str, path: str) -> str:
    """An image, to be shown within a page."""
    return f"{owner}/image?path={quote(path, safe='/')}"


def comparison(run_ids: Iterable[str]) -> str:
    """Runs side by side."""
    return f"/compare?{runs_query(run_ids)}"


def runs_query(run_ids: Iterable[str]) -> str:
    """Several runs as the query of an address."""
    return urlencode([("run", each) for each in run_ids])


def optimising(model_name: str, number: int) -> str:
    """What was measured of other forms of a version."""
    return f"{version(model_name, number)}/optimised"


def version_comparison(model_name: str, left: int, right: int) -> str:
    """Two versions side by side."""
    return f"{model(model_name)}/compare?left={left}&right={right}"


def snapshot(snapshot_id: str) -> str:
    """The page of a dataset snapshot."""
    return _at("data", snapshot_id)


def entry(entry_id: str) -> str:
    """The page of a journal entry."""
    return _at("journal", entry_id)


def webhook(webhook_id: str) -> str:
    """The page of a webhook."""
    return _at("webhooks", webhook_id)


def delivery(webhook_id: str, delivery_id: str) -> str:
    """The page of one delivery to a webhook."""
    return _at("webhooks", webhook_id, delivery_id)


def query(pairs: Mapping[str, object]) -> str:
    """What follows the question mark, without what is empty."""
    return urlencode([(name, str(value)) for name, value in pairs.items() if value])


def about(resource: str) -> str:
    """The journal of one resource."""
    return f"/journal?resource={quote(resource, safe='')}"


_NAMED = re.compile(r"\b(rollout|snapshot|pipeline run|training run) ([0-9a-f]{32})\b")


def linked(text: str) -> Markup:
    """Escaped text in which each id that follows its kind is a link, shown by its last digits."""
    pages = {"rollout": rollout, "snapshot": snapshot, "pipeline run": pipeline_run, "training run": run}
    pieces, at = [], 0
    for found in _NAMED.finditer(text):
        pieces.append(escape(text[at : found.start()]))
        link = Markup('{} <a href="{}">{}</a>').format(found[1], pages[found[1]](found[2]), short(found[2]))
        pieces.append(link)
        at = found.end()
    return Markup("").join([*pieces, escape(text[at:])])


_PAGES: dict[str, Callable[[str], str]] = {
    "endpoint": endpoint,
    "monitor": monitor,
    "model": model,
    "rollout": rollout,
    "alarm": lambda alarm_id: _at("alarms", alarm_id),
    "pipeline_run": pipeline_run,
    "run": run,
    "snapshot": snapshot,
    "approval": approval,
    "webhook": webhook,
    "logged_model": logged_model,
    "experiment": experiment_named,
    "workspace": lambda name: f"/workspaces#workspace-{quote(name, safe='')}",
}


def resource(text: str) -> str:
    """The page of a journalled resource `kind/name`; what has no page of its own leads to its journal."""
    kind, _, name = text.partition("/")
    if kind in {"model", "version", "model_version"} and name.count("/") >= 1:
        model_name, _, number = name.rpartition("/")
        if number.isdigit():
            return version(model_name, int(number))
    if kind in {"alias", "stage"} and "/" in name:
        return f"{model(name.partition('/')[0])}#pointing"
    if kind == "pipeline_run":
        name = name.partition("/")[0]
    if kind in _PAGES and name:
        return _PAGES[kind](name)
    return about(text)
