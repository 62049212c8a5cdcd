"""Artifacts over HTTP in constant memory: a body is written to disk while more of it comes, and a file is read ahead of
what is sent. The event loop itself never touches a disk.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from email.utils import formatdate
from functools import partial
from mimetypes import MimeTypes
from unicodedata import normalize
from urllib.parse import quote

from anyio import CancelScope
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bailiwick.core.canonical import sha256_hex
from bailiwick.tracking.artifacts.model import Artifact, Reading
from bailiwick.tracking.artifacts.service import Upload

BATCH_BYTES = 2 << 20
DRAINED_BYTES = 4 << 20

TEXT = frozenset(
    [
        "txt",
        "log",
        "err",
        "cfg",
        "conf",
        "cnf",
        "cf",
        "ini",
        "properties",
        "prop",
        "hocon",
        "toml",
        "yaml",
        "yml",
        "xml",
        "json",
        "js",
        "py",
        "py3",
        "csv",
        "tsv",
        "md",
        "rst",
        "ipynb",
        "MLmodel",
        "MLproject",
        "mlproject",
    ]
)
"""Extensions, and whole names without one, that are text to MLflow's clients."""

_TYPES = MimeTypes()
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})")


async def receive_body(request: Request, upload: Upload) -> Artifact:
    """Write the body of a request, and finish the upload. Raises ClientDisconnect when the client goes before the end.

    Whatever happens, the upload is over afterwards.
    """
    writing: asyncio.Future[None] | None = None
    try:
        async for batch in _batches(request):
            if writing is not None:
                await writing
            writing = asyncio.ensure_future(run_in_threadpool(upload.write, batch))
        if writing is not None:
            await writing
        return await run_in_threadpool(upload.finish)
    finally:
        if writing is not None and not writing.done():
            await asyncio.wait([writing])
        await asyncio.shield(run_in_threadpool(upload.discard))


async def _batches(request: Request) -> AsyncIterator[bytes]:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size >= BATCH_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    if size:
        yield b"".join(parts)


async def drain(request: Request) -> None:
    """Read a little of a body that is refused, so that a client that sends all before it listens hears why."""
    left = DRAINED_BYTES
    try:
        async for part in request.stream():
            left -= len(part)
            if left < 0:
                return
    except (ClientDisconnect, RuntimeError):  # gone, or it was read before
        return


def send_reading(request: Request, reading: Reading) -> Response:
    """A file as an attachment: the whole, the one range that is asked for, or its headers alone. Closes the reading."""
    artifact = reading.artifact
    size = artifact.size_bytes
    headers = _headers(artifact)
    span = _range(request.headers, headers.get("ETag", ""), size)
    if span is None or span == (0, size):
        start, end, status = 0, size, 200
    elif span[0] >= span[1]:
        reading.close()
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    else:
        start, end, status = *span, 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        reading.close()
        return Response(status_code=status, headers=headers)
    return ReadingResponse(reading, start, end, status=status, headers=headers)


class ReadingResponse(StreamingResponse):
    """Sends part of a file and closes it, also when the client has gone."""

    def __init__(self, reading: Reading, start: int, end: int, *, status: int, headers: Mapping[str, str]) -> None:
        self._reading = reading
        self._chunks = _read_ahead(reading, start, end)
        super().__init__(self._chunks, status, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with CancelScope(shield=True):  # a thread may still be reading
                await self._chunks.aclose()
            self._reading.close()


async def _read_ahead(reading: Reading, start: int, end: int) -> AsyncGenerator[bytes]:
    chunks = reading.chunks(start, end)
    following = partial(run_in_threadpool, next, chunks, None)
    coming = asyncio.ensure_future(following())
    try:
        while (chunk := await coming) is not None:
            coming = asyncio.ensure_future(following())
            yield chunk
    finally:
        if not coming.done():
            await asyncio.wait([coming])


def mime_type(path: str) -> str:
    """What kind of file the name says it is; bytes where it says nothing, or that they are packed."""
    name = path.rpartition("/")[2]
    if (name.rpartition(".")[2] or name) in TEXT:
        return "text/plain"
    kind, packed = _TYPES.guess_type(f"x/{name}")
    return kind if kind and not packed else "application/octet-stream"


def attachment(path: str) -> str:
    """A Content-Disposition (RFC 6266) that makes browsers save the file under its name and never show it."""
    name = path.rpartition("/")[2]
    plain = normalize("NFKD", name).encode("ascii", "ignore").decode() or "download"
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    said = f"attachment; filename={plain}" if _TOKEN.fullmatch(plain) else f'attachment; filename="{escaped}"'
    return said if name.isascii() else f"{said}; filename*=UTF-8''{quote(name, safe='!#$&+-.^_`|~')}"


def _headers(artifact: Artifact) -> dict[str, str]:
    headers = {
        "Content-Type": mime_type(artifact.path),
        "Content-Disposition": attachment(artifact.path),
        "Accept-Ranges": "bytes",
        "Last-Modified": formatdate(artifact.time / 1000, usegmt=True),
    }
    known = artifact.digest or (sha256_hex(artifact.mark.encode()) if artifact.mark else "")
    if known:
        headers["ETag"] = f'"{known}"'
    if artifact.digest:
        encoded = base64.b64encode(bytes.fromhex(artifact.digest)).decode()
        headers["Repr-Digest"] = f"sha-256=:{encoded}:"  # RFC 9530: who fetches parts can check the whole
    return headers


def _range(headers: Mapping[str, str], etag: str, size: int) -> tuple[int, int] | None:
    """The bytes asked for, as start and end; empty when there are none such, None for all (also of several ranges)."""
    found = _RANGE.fullmatch(headers.get("range", "").strip())
    if found is None or headers.get("if-range", etag) != etag or found[1] == found[2] == "":
        return None
    if not found[1]:
        return max(0, size - int(found[2])), size
    start = int(found[1])
    if found[2] and int(found[2]) < start:
        return None
    return start, min(size, int(found[2]) + 1) if found[2] else size
