"""Routes of past predictions and of what is recorded of them."""

from __future__ import annotations

from bailiwick.core.actor import Permission
from bailiwick.endpoints.model import Endpoint
from bailiwick.endpoints.past import PastPage
from bailiwick.lifecycle.explaining.model import Asked, Explanation
from bailiwick.server.api import predictions
from bailiwick.server.api.route import Route

_LOOK = Permission.PREDICTIONS_READ
_ROOT = "/api/v1/predictions"

PREDICTION_ROUTES: tuple[Route, ...] = (
    Route("GET", _ROOT, _LOOK, predictions.predictions, "Predictions.", PastPage, query=predictions.PredictionsQuery),
    Route(
        "GET",
        f"{_ROOT}/{{prediction}}",
        _LOOK,
        predictions.prediction,
        "One prediction: inputs, outputs, version, lineage, approvals, and on request why.",
        predictions.PredictionView,
        query=predictions.PredictionQuery,
    ),
    Route(
        "POST",
        f"{_ROOT}/{{prediction}}/explanations",
        _LOOK,
        predictions.explain_prediction,
        "Why a prediction came out as it did.",
        Explanation,
        query=predictions.EndpointQuery,
        body=Asked,
    ),
    Route(
        "GET",
        "/api/v1/refusals",
        _LOOK,
        predictions.refusals,
        "Requests that an endpoint refused.",
        predictions.Refusals,
        query=predictions.RefusalsQuery,
    ),
    Route(
        "PUT",
        "/api/v1/endpoints/{endpoint}/recording",
        Permission.ENDPOINTS_DEPLOY,
        predictions.set_recording,
        "Say what of an endpoint's predictions is kept.",
        Endpoint,
        body=predictions.SetRecording,
    ),
)
