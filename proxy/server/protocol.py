"""
A connection that anybody may open: what of uvicorn's and httptools' has no bounds gets them here.

Rule 1: what is no request that we take is refused in our shape, 400, 408, 414 or 431, and in its
        turn: answers to the requests before it come first. httptools itself knows no limit.
Rule 2: a client may be slow, not for ever: a head, a body or the taking of an answer that makes no
        headway ends the connection.
Rule 3: trailer fields of a chunked body are not header fields; a front proxy has not seen them.
Rule 4: an offer to upgrade is passed over, as RFC 9110 section 7.8 allows. Java's HttpClient makes
        one (h2c) with its first request; httptools then takes the body for the new protocol's.
"""

from __future__ import annotations

import asyncio
import logging
import re
from enum import Enum
from http import HTTPStatus
from typing import Any, ClassVar, NamedTuple

import httptools

from proxy.api.responses import CONNECTION
from proxy.config import Settings
from proxy.server.delivery import DeliveringProtocol, unacknowledged_bytes
from proxy.wire.errors import render_error
from proxy.wire.media_types import V2

# A body may take longer than `receive_timeout_ms` as long as it comes at this rate. Precedent:
# Kestrel's MinRequestBodyDataRate, 240 bytes a second.
LEAST_BYTES_PER_S = 240
# How often in that timeout a connection is looked at.
LOOKS = 4
# Chunks of one byte have five bytes around it; what is more than this many times the body is none.
FRAMING_PER_BYTE = 16
# Requests that may wait behind one that runs before no more are read.
PIPELINED = 16
# How long a refused client may go on sending to nobody.
LINGER_S = 1.0

_ABSOLUTE = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


class Limits(NamedTuple):
    """The settings that a connection goes by."""

    url_bytes: int
    header_bytes: int
    receive_timeout_s: float


class Receiving(Enum):
    """What of a request comes next."""

    NOTHING = 1
    HEAD = 2
    BODY = 3


def protocol_for(settings: Settings) -> type[Protocol]:
    """A protocol class with the limits of these settings."""
    limits = Limits(
        settings.max_url_bytes, settings.max_header_bytes, settings.receive_timeout_ms / 1000
    )
    return type("LimitedProtocol", (Protocol,), {"limits": limits})


class Protocol(DeliveringProtocol):
    """One for each connection."""

    limits: ClassVar[Limits]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn warns of each bad request, and of each offer to upgrade: a client could fill the
        # log with those.
        self.logger = logging.getLogger("proxy.server.connection")
        self._receiving = Receiving.NOTHING
        self._begun_at = 0.0
        self._head_bytes = 0
        self._body_bytes = 0
        # Of the part of a request that is not complete, what came after the first read.
        self._fed_bytes = 0
        self._refused = False
        self._watch: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0
        self._unsent_since = 0.0

    # The connection ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # uvicorn begins to count only after the first answer.
        self._await_request()
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse(400, "This is not a valid HTTP/1.1 request.")
        if self._receiving is not Receiving.NOTHING:
            self._bound_unread(len(data))
        elif self.cycle is None or self.cycle.response_complete:
            self._await_request()

    def _feed(self, data: bytes) -> None:
        while data and not self._refused:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # Rule 4: from the head once more, to a parser that has not seen the offer.
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            else:
                return

    def _bound_unread(self, count: int) -> None:
        # httptools gathers a field that has no end yet, and says nothing.
        self._fed_bytes += count
        limit = self.limits.header_bytes + self.limits.url_bytes
        if self._receiving is Receiving.HEAD:
            if self._fed_bytes > count + limit:
                self._refuse_header()
        elif self._fed_bytes > count + limit + FRAMING_PER_BYTE * self._body_bytes:
            self._refuse(400, "The body has more framing than content.")

    def _await_request(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    # The parser's callbacks -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving = Receiving.HEAD
        self._begun_at = self.loop.time()
        self._head_bytes = self._body_bytes = self._fed_bytes = 0
        extensions: dict[str, Any] = {CONNECTION: self}
        self.scope["extensions"] = extensions

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.url_bytes:
            limit = self.limits.url_bytes
            self._refuse(414, f"The URL is longer than the limit of {limit} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._refused or self._receiving is Receiving.BODY:
            return
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self.limits.header_bytes:
            self._refuse_header()
        else:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._refused:
            return
        if self.parser.get_method() == b"CONNECT":
            self._refuse(400, "CONNECT is not served here.")
        elif not self.parser.should_upgrade():
            self.url = _origin_form(self.url)
            super().on_headers_complete()
            self._receiving = Receiving.BODY
            # uvicorn reads nothing while a request waits for the one before it: a long poll would
            # not learn that its client has gone.
            if len(self.pipeline) in range(1, PIPELINED):
                self.flow.resume_reading()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            self._body_bytes += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused and not self.parser.should_upgrade():
            self._receiving = Receiving.NOTHING
            super().on_message_complete()

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        for name, value in self.headers:
            kept = value
            if name == b"upgrade":
                continue
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                kept = b", ".join(token for token in tokens if token.lower() != b"upgrade")
            lines.append(name + b": " + kept)
        return b"\r\n".join([*lines, b"", b""])

    # Rules 1 and 2 ----------------------------------------------------------------------------

    def _refuse_header(self) -> None:
        limit = self.limits.header_bytes
        self._refuse(431, f"The header is larger than the limit of {limit} bytes.")

    def _refuse(self, status: int, message: str) -> None:
        """Answer what is being received and close, after the answers that are due before it."""
        if self._refused:
            return
        self._refused = True
        broken = self.cycle if self._receiving is Receiving.BODY else None
        if broken is not None:
            # Its endpoint waits for a body that does not come.
            broken.disconnected = True
            broken.message_event.set()
            if self.pipeline and self.pipeline[0][0] is broken:
                self.pipeline[0] = (broken, self._close_in_turn)
                return
            if broken.response_started:
                self.transport.close()
                return
        elif self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            return
        body = render_error(status, message)
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%b"
            % (status, HTTPStatus(status).phrase.encode(), V2.encode(), len(body), body)
        )
        # A client that still sends would have its answer taken away by a reset if we closed now.
        # Source: RFC 9112 section 9.6
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    async def _close_in_turn(self, *_: Any) -> None:
        self.transport.close()

    def _look_later(self) -> None:
        interval_s = self.limits.receive_timeout_s / LOOKS
        self._watch = self.loop.call_later(interval_s, self._look)

    def _look(self) -> None:
        now = self.loop.time()
        timeout_s = self.limits.receive_timeout_s
        unsent = self.transport.get_write_buffer_size()
        if unsent > 0:
            # The socket takes more only once a third of its buffer, up to 4 MB, is free.
            unsent += unacknowledged_bytes(self.transport)
        if unsent == 0 or unsent != self._unsent_bytes:
            self._unsent_bytes, self._unsent_since = unsent, now
        if now - self._unsent_since >= timeout_s:
            self.transport.abort()
            return
        if self._receiving is not Receiving.NOTHING:
            if self.flow.read_paused:
                # It is we who do not read.
                self._begun_at = now
            late_s = now - self._begun_at - self._body_bytes / LEAST_BYTES_PER_S
            if late_s > timeout_s:
                what = self._receiving.name.lower()
                self._refuse(408, f"The {what} of the request did not come within {timeout_s:g} s.")
        self._look_later()


def _origin_form(url: bytes) -> bytes:
    """The path and query of a request target. Source: RFC 9112 section 3.2"""
    absolute = _ABSOLUTE.match(url)
    if absolute is None:
        return url
    rest = url[absolute.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest
