"""AWS Signature Version 4 in the query of a URL, as Amazon S3 and its like take it.

Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote, urlsplit, urlunsplit

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key; `session` for one that is lent for a while."""

    access: str
    secret: str
    session: str = ""


def signed_url(
    method: str, url: str, query: Mapping[str, str], *, keys: Keys, region: str, seconds: int, now: datetime
) -> str:
    """`url` (without a query of its own) with `query`, good for one method, from `now` on for a while.

    The body is not signed, and of the headers only Host, so that any client can send it.
    """
    parts = urlsplit(url)
    moment = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    asked = {
        **query,
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{keys.access}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
        **({"X-Amz-Security-Token": keys.session} if keys.session else {}),
    }
    path = quote(unquote(parts.path), safe="/-_.~") or "/"
    text = "&".join(sorted(f"{_encoded(name)}={_encoded(value)}" for name, value in asked.items()))
    request = "\n".join([method, path, text, f"host:{parts.netloc}\n", "host", "UNSIGNED-PAYLOAD"])
    signature = _signature(keys.secret, scope, moment, request)
    return urlunsplit((parts.scheme, parts.netloc, path, f"{text}&X-Amz-Signature={signature}", ""))


def _signature(secret: str, scope: str, moment: str, request: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join([ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()])
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
