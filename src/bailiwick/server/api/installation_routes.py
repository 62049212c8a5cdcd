"""Routes of webhooks and workspaces: who else is told, and who shares this installation."""

from __future__ import annotations

from bailiwick.core.actor import Permission
from bailiwick.security.workspaces import Workspace
from bailiwick.server.api import webhooks, workspaces
from bailiwick.server.api.route import Route
from bailiwick.webhooks.model import Answer, Delivery, Webhook

V1 = "/api/v1"
HOOKS, TENANTS = Permission.WEBHOOKS_MANAGE, Permission.WORKSPACES_MANAGE

INSTALLATION_ROUTES: tuple[Route, ...] = (
    Route(
        "GET", f"{V1}/webhooks", HOOKS, webhooks.webhooks, "Webhooks.", webhooks.Webhooks, query=webhooks.WebhooksQuery
    ),
    Route(
        "POST",
        f"{V1}/webhooks",
        HOOKS,
        webhooks.create_webhook,
        "Make a webhook.",
        Webhook,
        body=webhooks.NewWebhook,
        status=201,
    ),
    Route("GET", f"{V1}/webhooks/{{webhook}}", HOOKS, webhooks.webhook, "One webhook.", Webhook),
    Route(
        "PATCH",
        f"{V1}/webhooks/{{webhook}}",
        HOOKS,
        webhooks.change_webhook,
        "Change a webhook.",
        Webhook,
        body=webhooks.ChangeWebhook,
    ),
    Route("DELETE", f"{V1}/webhooks/{{webhook}}", HOOKS, webhooks.delete_webhook, "Remove a webhook.", status=204),
    Route(
        "POST",
        f"{V1}/webhooks/{{webhook}}/test",
        HOOKS,
        webhooks.test_webhook,
        "Send a webhook an example.",
        Answer,
        body=webhooks.TestWebhook,
    ),
    Route(
        "POST",
        f"{V1}/webhooks/{{webhook}}/replay",
        HOOKS,
        webhooks.replay_webhook,
        "Tell a webhook again of what happened.",
        webhooks.ReplayedFrom,
        body=webhooks.Replay,
    ),
    Route(
        "GET",
        f"{V1}/webhooks/{{webhook}}/deliveries",
        HOOKS,
        webhooks.deliveries,
        "What was and will be sent to a webhook.",
        webhooks.Deliveries,
        query=webhooks.DeliveriesQuery,
    ),
    Route(
        "GET",
        f"{V1}/deliveries/{{delivery}}",
        HOOKS,
        webhooks.delivery,
        "One delivery with its attempts.",
        webhooks.DeliveryView,
    ),
    Route(
        "POST",
        f"{V1}/deliveries/{{delivery}}/replay",
        HOOKS,
        webhooks.replay_delivery,
        "Send one delivery again.",
        Delivery,
    ),
    Route("GET", f"{V1}/workspaces", Permission.READ, workspaces.workspaces, "Workspaces.", workspaces.Workspaces),
    Route(
        "POST",
        f"{V1}/workspaces",
        TENANTS,
        workspaces.create_workspace,
        "Make a workspace.",
        Workspace,
        body=workspaces.NewWorkspace,
        status=201,
    ),
    Route("GET", f"{V1}/workspaces/{{name}}", Permission.READ, workspaces.workspace, "One workspace.", Workspace),
    Route(
        "PATCH",
        f"{V1}/workspaces/{{name}}",
        TENANTS,
        workspaces.change_workspace,
        "Describe a workspace, or move where its artifacts go.",
        Workspace,
        body=workspaces.ChangeWorkspace,
    ),
    Route(
        "DELETE",
        f"{V1}/workspaces/{{name}}",
        TENANTS,
        workspaces.delete_workspace,
        "Remove an empty workspace.",
        query=workspaces.DeleteQuery,
        status=204,
    ),
)
