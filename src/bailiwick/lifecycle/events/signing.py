"""Signatures of webhooks: HMAC-SHA256 over `id.timestamp.body`, in MLflow's headers and in those of Standard Webhooks."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

SECRET_PREFIX = "whsec_"  # noqa: S105 - a format's label, not a secret
MLFLOW_ID = "X-MLflow-Delivery-Id"
MLFLOW_TIME = "X-MLflow-Timestamp"
MLFLOW_SIGNATURE = "X-MLflow-Signature"


def mlflow_headers(*, delivery: str, time: int, body: bytes, secret: str) -> dict[str, str]:
    """MLflow's three headers; the signature only with a secret, whose UTF-8 bytes are the key."""
    seconds = str(time // 1000)
    headers = {MLFLOW_ID: delivery, MLFLOW_TIME: seconds}
    if secret:
        headers[MLFLOW_SIGNATURE] = _signature(secret.encode(), delivery, seconds, body)
    return headers


def standard_headers(*, delivery: str, time: int, body: bytes, secret: str) -> dict[str, str]:
    """The headers of standardwebhooks.com. A secret `whsec_…` is a key in base64; any other is the key itself."""
    seconds = str(time // 1000)
    headers = {"webhook-id": delivery, "webhook-timestamp": seconds}
    if secret:
        headers["webhook-signature"] = _signature(_key(secret), delivery, seconds, body)
    return headers


def _key(secret: str) -> bytes:
    if secret.startswith(SECRET_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()


def _signature(key: bytes, delivery: str, seconds: str, body: bytes) -> str:
    mac = hmac.new(key, f"{delivery}.{seconds}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(mac.digest()).decode()}"
