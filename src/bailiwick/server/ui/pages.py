"""Tables of all pages and form posts, and how they are answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route as HttpRoute

from bailiwick.core.actor import Actor, Permission
from bailiwick.core.errors import BailiwickError, InvalidInput, NotAllowed, Unauthenticated
from bailiwick.lifecycle.platform import Platform
from bailiwick.server.api.errors import detail_of, status_of
from bailiwick.server.auth import COOKIE, Authenticator, same_origin
from bailiwick.server.ui import forms, links
from bailiwick.server.ui.artifacts import open_image
from bailiwick.server.ui.page import Context, Form, Page, Visit
from bailiwick.server.ui.shell import error_page, render
from bailiwick.server.ui.views import (
    approvals,
    artifacts,
    cards,
    comparison,
    data,
    endpoints,
    experiments,
    journal,
    logged_models,
    models,
    monitor,
    overview,
    pipelines,
    predictions,
    rollouts,
    runs,
    webhooks,
    workspaces,
)

PAGES = (
    Page("/", "overview.html", overview.overview, "/", refresh=10),
    Page("/endpoints", "endpoints.html", endpoints.listing, "/endpoints", refresh=10),
    Page("/endpoints/{endpoint}", "endpoint.html", endpoints.endpoint, "/endpoints", refresh=10),
    Page("/predictions", "predictions.html", predictions.listing, "/predictions", Permission.PREDICTIONS_READ),
    Page(
        "/predictions/{prediction}",
        "prediction.html",
        predictions.prediction,
        "/predictions",
        Permission.PREDICTIONS_READ,
    ),
    Page("/monitor", "monitors.html", monitor.listing, "/monitor", refresh=10),
    Page("/monitor/{endpoint}", "monitor.html", monitor.endpoint, "/monitor", refresh=10),
    Page("/rollouts", "rollouts.html", rollouts.listing, "/rollouts", refresh=10),
    Page("/rollouts/{rollout}", "rollout.html", rollouts.rollout, "/rollouts", refresh=15),
    Page("/models", "models.html", models.listing, "/models"),
    Page("/models/{model}", "model.html", models.model, "/models"),
    Page("/models/{model}/compare", "version_comparison.html", models.comparison, "/models"),
    Page("/models/{model}/versions/{number}", "version.html", models.version, "/models"),
    Page("/models/{model}/versions/{number}/optimised", "optimised.html", models.optimised, "/models"),
    Page("/models/{model}/versions/{number}/card", "card.html", cards.card, "/models"),
    Page("/approvals", "approvals.html", approvals.listing, "/approvals"),
    Page("/pipelines", "pipelines.html", pipelines.listing, "/pipelines", refresh=5),
    Page("/pipelines/{run}", "pipeline_run.html", pipelines.run, "/pipelines", refresh=3),
    Page("/experiments", "experiments.html", experiments.listing, "/experiments"),
    Page("/experiments/{experiment}", "experiment.html", experiments.experiment, "/experiments"),
    Page("/experiments/{experiment}/models", "logged_models.html", logged_models.listing, "/experiments"),
    Page("/runs", "runs.html", runs.listing, "/runs"),
    Page("/runs/{run}", "run.html", runs.run, "/experiments"),
    Page("/runs/{run}/files", "artifacts.html", artifacts.of_run, "/experiments"),
    Page("/compare", "compare.html", comparison.compare, "/experiments"),
    Page("/logged-models/{logged_model}", "logged_model.html", logged_models.logged_model, "/experiments"),
    Page("/logged-models/{logged_model}/files", "artifacts.html", artifacts.of_logged_model, "/experiments"),
    Page("/data", "snapshots.html", data.listing, "/data"),
    Page("/data/{snapshot}", "snapshot.html", data.snapshot, "/data"),
    Page("/webhooks", "webhooks.html", webhooks.listing, "/webhooks", permission=Permission.WEBHOOKS_MANAGE),
    Page("/webhooks/{webhook}", "webhook.html", webhooks.webhook, "/webhooks", Permission.WEBHOOKS_MANAGE, refresh=5),
    Page(
        "/webhooks/{webhook}/{delivery}",
        "delivery.html",
        webhooks.delivery,
        "/webhooks",
        permission=Permission.WEBHOOKS_MANAGE,
    ),
    Page("/workspaces", "workspaces.html", workspaces.listing, "/workspaces"),
    Page("/journal", "journal.html", journal.listing, "/journal", permission=Permission.JOURNAL_READ),
    Page("/journal/{entry}", "entry.html", journal.entry, "/journal", permission=Permission.JOURNAL_READ),
)

IMAGES = {
    "/runs/{run}/image": artifacts.uri_of_run,
    "/logged-models/{logged_model}/image": artifacts.uri_of_logged_model,
}
"""Where pages get the images they show, and whose files those are."""

NOTICES = {
    "approved": "Approved. Nothing else waits for you here.",
    "rejected": "Rejected, and written to the journal.",
    "acknowledged": "Acknowledged.",
    "aborted": "Aborted: the version that served before has all traffic again.",
    "cancelled": "Cancelled.",
    "stated": "Stated, and written to the journal.",
    "withdrawn": "Withdrawn.",
    "resumed": "The run goes on where it stopped.",
    "signed-in": "Signed in.",
    "taken": "The receiver took the example.",
    "not-taken": "The receiver did not take the example; `bailiwick webhooks test` says what it answered.",
    "enabled": "Enabled: it is told of what happens from now on.",
    "disabled": "Disabled: it is told of nothing until it is enabled.",
    "sent-again": "It is sent again.",
    "deleted": "Deleted: it is hidden, and can be restored.",
    "restored": "Restored.",
    "pointed": "Done, and written to the history below.",
    "asked": "Asked: those who may approve see it now.",
    "rolled-back": "Rolled back to the version before.",
    "removed": "Removed: it points nowhere now.",
    "purged": "Its content is destroyed; what it came from and what it was stays known.",
    "made": "Made.",
    "changed": "Changed.",
    "gone": "Deleted for good.",
    "replaying": "It is told again of everything from there on, in the order of the journal.",
    "hidden": "Deleted: it is hidden, and what was made of it stays.",
}

Answer = Callable[[Request], Awaitable[Response]]


def page_routes(platform: Platform, authenticator: Authenticator) -> list[HttpRoute]:
    """Every page and form post, ready to be mounted."""
    desk = _Desk(platform, authenticator)
    return [
        HttpRoute("/sign-in", desk.sign_in_page, methods=["GET"]),
        HttpRoute("/sign-in", desk.sign_in, methods=["POST"]),
        HttpRoute("/sign-out", desk.sign_out, methods=["POST"]),
        HttpRoute("/alarms/{alarm}", desk.alarm, methods=["GET"]),
        *(HttpRoute(form.path, desk.submission(form), methods=["POST"]) for form in forms.FORMS),
        *(HttpRoute(page.path, desk.page(page), methods=["GET"]) for page in PAGES),
        *(HttpRoute(path, desk.image(owner), methods=["GET"]) for path, owner in IMAGES.items()),
    ]


class _Desk:
    """Answers people: authenticates, authorises, reads in a thread, renders."""

    def __init__(self, platform: Platform, authenticator: Authenticator) -> None:
        self._platform = platform
        self._authenticator = authenticator

    def page(self, page: Page) -> Answer:
        async def answer(request: Request) -> Response:
            return await run_in_threadpool(self._show, page, request)

        return answer

    def submission(self, form: Form) -> Answer:
        async def answer(request: Request) -> Response:
            fields = await _fields(request)
            return await run_in_threadpool(self._submit, form, request, fields)

        return answer

    def image(self, owner: Callable[[Visit], str]) -> Answer:
        async def answer(request: Request) -> Response:
            return await run_in_threadpool(self._image, owner, request)

        return answer

    def _image(self, owner: Callable[[Visit], str], request: Request) -> Response:
        """A raster image alone; the headers of every answer keep browsers from taking it for anything else."""
        actor = self._authenticator.actor(request)
        actor.require(Permission.READ)
        visit = self._visit(actor, request)
        content, kind = open_image(visit, owner(visit), visit.query.get("path", ""))
        return Response(content, media_type=kind, headers={"Content-Disposition": "inline"})

    async def alarm(self, request: Request) -> Response:
        """An alarm has its place on its endpoint's monitor."""
        return await run_in_threadpool(self._alarm, request)

    def _alarm(self, request: Request) -> Response:
        actor = self._authenticator.actor(request)
        actor.require(Permission.READ)
        found = self._platform.monitors.alarm(actor.workspace, self._visit(actor, request).path["alarm"])
        page = f"{links.snapshot(found.snapshot)}#alarm-{found.id}" if found.snapshot else None
        return RedirectResponse(page or links.alarm(found.endpoint, found.id), 303)

    def _show(self, page: Page, request: Request) -> Response:
        try:
            actor = self._authenticator.actor(request)
        except Unauthenticated:
            return RedirectResponse(f"/sign-in?next={quote(_own_path(request), safe='')}", 303)
        visit = self._visit(actor, request)
        frame = self._frame(visit, request, page.here)
        try:
            actor.require(page.permission)
            context = page.view(visit)
        except BailiwickError as error:
            return error_page(status_of(error), detail_of(error), frame)
        return render(page.template, {**frame, "refresh": page.refresh, "visit": visit, **context})

    def _submit(self, form: Form, request: Request, fields: Mapping[str, str]) -> Response:
        actor = self._authenticator.actor(request)
        visit = self._visit(actor, request)
        try:
            actor.require(form.permission)
            return RedirectResponse(form.act(visit, fields), 303)
        except BailiwickError as error:
            return error_page(status_of(error), detail_of(error), self._frame(visit, request, ""))

    def _visit(self, actor: Actor, request: Request) -> Visit:
        query = request.query_params
        for name, value in (*request.path_params.items(), *query.multi_items()):
            if "\x00" in value:
                raise InvalidInput(f"{name!r} holds a NUL character, which no name can.")
        every = {name: tuple(query.getlist(name)) for name in query}
        now = self._platform.records.clock()
        return Visit(self._platform, actor, request.path_params, dict(query), now, every)

    def _frame(self, visit: Visit, request: Request, here: str) -> Context:
        platform, workspace = self._platform, visit.workspace
        running = [rollout for rollout in platform.rollouts.rollouts(workspace) if rollout.status == "RUNNING"]
        return {
            "actor": visit.actor,
            "now": visit.now,
            "here": here,
            "notice": NOTICES.get(visit.query.get("done", ""), ""),
            "signed_in": COOKIE in request.cookies,
            "counts": {
                "alarms": len(platform.monitors.alarms(workspace, status="OPEN")),
                "approvals": len(platform.governance.requests(workspace, status="PENDING")),
                "rollouts": len(running),
            },
        }

    async def sign_in_page(self, request: Request) -> Response:
        return render("sign_in.html", {"trouble": "", "next": _safe_next(request.query_params.get("next", "/"))})

    async def sign_in(self, request: Request) -> Response:
        fields = await _fields(request)
        token, onward = fields.get("token", "").strip(), _safe_next(fields.get("next", "/"))
        workspace = self._platform.settings.workspace
        try:
            await run_in_threadpool(self._platform.identities.authenticate, token, workspace)
        except Unauthenticated as error:
            return render("sign_in.html", {"trouble": str(error), "next": onward}, 401)
        response = RedirectResponse(onward, 303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, token, httponly=True, samesite="lax", secure=secure, path="/")
        return response

    async def sign_out(self, request: Request) -> Response:
        _require_our_page(request)
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE, path="/")
        return response


async def _fields(request: Request) -> dict[str, str]:
    """The fields of a form that one of our own pages posted. Raises NotAllowed for any other sender, InvalidInput."""
    _require_our_page(request)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise InvalidInput("A form must be sent as application/x-www-form-urlencoded.")
    try:
        fields = dict(
            parse_qsl(
                (await request.body()).decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict"
            )
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise InvalidInput("The form cannot be read.") from error
    if any("\x00" in value for value in fields.values()):
        raise InvalidInput("The form holds a NUL character, which no record can keep.")
    return fields


def _require_our_page(request: Request) -> None:
    """Forms act with what the browser carries along, so the browser must say that they come from here."""
    if same_origin(request.headers) is not True:
        raise NotAllowed(
            "This form was not sent from a page of this server.", hint="Programs use the API under /api/v1 instead."
        )


def _own_path(request: Request) -> str:
    query = request.url.query
    return request.url.path + (f"?{query}" if query else "")


def _safe_next(target: str) -> str:
    """A path on this server; anything that could lead elsewhere becomes the overview."""
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if plain and "\\" not in target else "/"
