"""Answers: compressed when that pays, and for records known to be delivered or not."""

from __future__ import annotations

import asyncio
import re
import zlib
from typing import Protocol

from starlette.types import Scope, Send

from proxy.api.context import context_of
from proxy.api.limits import joined_header
from proxy.wire.media_types import V2

# The fastest: JSON shrinks a lot at any level, and what is sent once is not worth more time.
GZIP_LEVEL = 1
# From this size on compressing takes longer than the loop may wait: done in a thread, without the
# interpreter's lock.
IN_THREAD_BYTES = 64 * 1024

_GZIP = re.compile(r"(?:^|,)\s*(gzip|\*)\s*(?:;\s*q\s*=\s*([0-9.]+)\s*)?(?=,|$)", re.IGNORECASE)


class Connection(Protocol):
    """What our server adds to the scope's extensions: see `proxy/server/delivery.py`."""

    async def took_all(self) -> bool:
        """Whether the socket took all that was sent while the client was still there."""
        ...

    def has_begun_answer(self, scope: Scope) -> bool:
        """Whether it is too late for another answer."""
        ...


CONNECTION = "kafka_over_http.connection"


async def respond(
    scope: Scope,
    send: Send,
    status: int,
    body: bytes = b"",
    content_type: str = V2,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    """Send a whole answer; 204 has no body and no type."""
    start, body = await _prepared(scope, status, body, content_type, headers)
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


async def respond_delivered(
    scope: Scope, send: Send, status: int, body: bytes, content_type: str
) -> bool:
    """
    Send a whole answer; whether it was delivered: the socket took all of it and the client had not
    closed.

    Source: CONTRACT.md section 7
    """
    connection: Connection = scope["extensions"][CONNECTION]
    start, body = await _prepared(scope, status, body, content_type, ())
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    delivered = await connection.took_all()
    await send({"type": "http.response.body", "body": b""})
    return delivered


async def _prepared(
    scope: Scope,
    status: int,
    body: bytes,
    content_type: str,
    headers: tuple[tuple[bytes, bytes], ...],
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    if status == 204:
        return list(headers), b""
    fields = [(b"content-type", content_type.encode()), *headers]
    if len(body) >= context_of(scope).settings.compress_min_bytes:
        fields.append((b"vary", b"accept-encoding"))
        accepted = joined_header(scope, b"accept-encoding")
        if accepted is not None and accepts_gzip(accepted.encode("latin-1")):
            fields.append((b"content-encoding", b"gzip"))
            body = (
                _gzip(body) if len(body) < IN_THREAD_BYTES else await asyncio.to_thread(_gzip, body)
            )
    fields.append((b"content-length", b"%d" % len(body)))
    return fields, body


def accepts_gzip(accept_encoding: bytes | None) -> bool:
    """Whether gzip is acceptable, by RFC 9110 section 12.5.3; an explicit `gzip` beats `*`."""
    if accept_encoding is None:
        return False
    qualities = {
        name.lower(): quality for name, quality in _GZIP.findall(accept_encoding.decode("latin-1"))
    }
    quality = qualities.get("gzip", qualities.get("*"))
    return quality is not None and (quality == "" or quality.strip("0.") != "")


def _gzip(body: bytes) -> bytes:
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()
