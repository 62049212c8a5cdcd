"""Routes of what is done with models, and with what people say of versions."""

from __future__ import annotations

from bailiwick.core.actor import Permission
from bailiwick.core.serving_setting import ServingSetting
from bailiwick.lifecycle.optimising.model import Report
from bailiwick.registry.model import AliasChange, Model, ModelVersion
from bailiwick.server.api import experiments, made_versions, model_deeds, optimising, versions
from bailiwick.server.api.pipelines import PipelineRunView
from bailiwick.server.api.route import Route

V1 = "/api/v1"
WRITE = Permission.MODELS_WRITE

MODEL_ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        f"{V1}/compositions",
        WRITE,
        made_versions.compose_version,
        "Register an ensemble or pipeline of registered versions as a version.",
        ModelVersion,
        body=made_versions.ComposedVersion,
        status=201,
    ),
    Route(
        "POST",
        f"{V1}/rules",
        WRITE,
        made_versions.register_rules_version,
        "Register rules (a JSON Decision Model) as a version.",
        ModelVersion,
        body=made_versions.RulesVersion,
        status=201,
    ),
    Route(
        "POST",
        f"{V1}/models",
        WRITE,
        model_deeds.create_model,
        "Make a model without versions.",
        Model,
        body=model_deeds.NewModel,
        status=201,
    ),
    Route(
        "PATCH",
        f"{V1}/models/{{model}}",
        WRITE,
        model_deeds.change_model,
        "Describe or rename a model.",
        Model,
        body=model_deeds.ChangeModel,
    ),
    Route(
        "PUT",
        f"{V1}/models/{{model}}/tags",
        WRITE,
        model_deeds.tag_model,
        "Set tags of a model.",
        Model,
        body=experiments.Tags,
    ),
    Route(
        "DELETE",
        f"{V1}/models/{{model}}/tags",
        WRITE,
        model_deeds.untag_model,
        "Remove a tag of a model.",
        Model,
        query=experiments.TagKey,
    ),
    Route(
        "POST",
        f"{V1}/models/{{model}}/delete",
        WRITE,
        model_deeds.delete_model,
        "Hide a model and its versions.",
        model_deeds.Hidden,
        body=versions.Because,
    ),
    Route(
        "POST", f"{V1}/models/{{model}}/restore", WRITE, model_deeds.restore_model, "Show a deleted model again.", Model
    ),
    Route(
        "DELETE",
        f"{V1}/models/{{model}}/aliases/{{alias}}",
        WRITE,
        model_deeds.remove_alias,
        "Let an alias point nowhere.",
        AliasChange,
        query=model_deeds.ReasonQuery,
    ),
    Route(
        "PATCH",
        f"{V1}/models/{{model}}/versions/{{number}}",
        WRITE,
        model_deeds.describe_version,
        "Say what a version is for.",
        ModelVersion,
        body=model_deeds.DescribeVersion,
    ),
    Route(
        "POST",
        f"{V1}/models/{{model}}/versions/{{number}}/optimisation",
        WRITE,
        optimising.optimise_version,
        "Have smaller and faster forms of a version measured, by a work process.",
        PipelineRunView,
        body=optimising.AskOptimising,
        status=202,
    ),
    Route(
        "GET",
        f"{V1}/models/{{model}}/versions/{{number}}/optimisation",
        Permission.READ,
        optimising.optimising_of_version,
        "What was measured of forms of a version, and of settings to serve it with.",
        Report,
    ),
    Route(
        "GET",
        f"{V1}/models/{{model}}/versions/{{number}}/serving",
        Permission.READ,
        model_deeds.serving_setting,
        "How a version is run where it is served.",
        ServingSetting,
    ),
    Route(
        "PUT",
        f"{V1}/models/{{model}}/versions/{{number}}/serving",
        Permission.ENDPOINTS_DEPLOY,
        model_deeds.set_serving,
        "Have a version run like this wherever it is served, at once.",
        ServingSetting,
        body=model_deeds.NewServingSetting,
    ),
    Route(
        "DELETE",
        f"{V1}/models/{{model}}/versions/{{number}}/serving",
        Permission.ENDPOINTS_DEPLOY,
        model_deeds.reset_serving,
        "Have a version run as the server runs every version.",
        ServingSetting,
        query=model_deeds.ReasonQuery,
    ),
    Route(
        "PUT",
        f"{V1}/models/{{model}}/versions/{{number}}/tags",
        WRITE,
        model_deeds.tag_version,
        "Set tags of a version.",
        ModelVersion,
        body=experiments.Tags,
    ),
    Route(
        "DELETE",
        f"{V1}/models/{{model}}/versions/{{number}}/tags",
        WRITE,
        model_deeds.untag_version,
        "Remove a tag of a version.",
        ModelVersion,
        query=experiments.TagKey,
    ),
)
