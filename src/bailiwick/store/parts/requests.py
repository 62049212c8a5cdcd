"""Requests to an object store by signed URLs: the few that obstore has no call for."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from html import unescape

from bailiwick.core.errors import BailiwickError, InvalidInput, NotFound, Unavailable

TIMEOUT_SECONDS = 300.0
"""To join thousands of parts takes a store minutes."""
MAX_ANSWER_BYTES = 1 << 20

_ENDED = frozenset({"NoSuchUpload", "BlobNotFound"})
_WRONG = frozenset(
    {"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "InvalidBlockList", "InvalidBlockId", "MalformedXML"}
)


def ask(method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> str:
    """What the store answers. Raises NotFound for an upload that is over, InvalidInput for parts that do not fit, else Unavailable."""
    sent = dict(headers or {})
    if body is not None:
        sent.setdefault("Content-Type", "application/octet-stream")  # else it is taken for a form
    request = urllib.request.Request(url, body, sent, method=method)  # noqa: S310 - of the store, signed here
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - as above
            text = str(answer.read(MAX_ANSWER_BYTES), "utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(error.code, error.read(MAX_ANSWER_BYTES).decode("utf-8", "replace")) from None
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"The object store cannot be reached: {getattr(error, 'reason', error)}.") from error
    if "<Error>" in text:  # S3 begins its answer before it knows how joining ends
        raise _refused(http.HTTPStatus.OK, text)
    return text


def element(text: str, name: str) -> str:
    """The text of the first element of that name in an XML answer; "" where there is none."""
    found = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return unescape(found[1]) if found else ""


def _refused(status: int, text: str) -> BailiwickError:
    code, message = element(text, "Code"), element(text, "Message").partition("\n")[0]
    said = f"{code} {message}".strip() or f"HTTP {status}"
    if code in _ENDED:
        return NotFound(f"The upload is not known to the object store any more: {said}.")
    if code in _WRONG:
        return InvalidInput(f"The object store cannot join these parts: {said}.")
    return Unavailable(f"The object store refused: {said}.")
