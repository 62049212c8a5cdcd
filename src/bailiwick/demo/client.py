"""A small keep-alive JSON client over the standard library: what an application developer would write in their language."""

from __future__ import annotations

import http.client
import time
from typing import Any
from urllib.parse import urlsplit

import orjson

from bailiwick.core.errors import Unavailable

TRIES = 6
_AGAIN = frozenset({429, 502, 503, 504})


class JsonClient:
    """One server, one connection, retries on 429/5xx-gateway answers and on a dropped connection."""

    def __init__(self, address: str, *, token: str = "") -> None:
        parts = urlsplit(address)
        self._address = address
        self._connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=60)
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str) -> Any:
        """Decoded JSON of a GET. Raises Unavailable for any other status than 2xx."""
        return orjson.loads(self.raw("GET", path) or b"null")

    def post(self, path: str, body: object) -> Any:
        """Decoded JSON of a POST. Raises Unavailable for any other status than 2xx."""
        return orjson.loads(self.raw("POST", path, orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)) or b"null")

    def raw(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Bytes of an answer."""
        problem = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(min(0.1 * 2**attempt, 2.0))
            try:
                self._connection.request(method, path, body=body, headers=self._headers)
                response = self._connection.getresponse()
                data = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                problem = f"{type(error).__name__}: {error}"
                continue
            if response.status < 300:
                return data
            problem = f"status {response.status}: {data[:300].decode(errors='replace')}"
            if response.status not in _AGAIN:
                break
        raise Unavailable(f"{method} {self._address}{path} failed: {problem}.")
