"""
uvicorn, with three things that are ours.

Rule 1: the signal is ours (house rule 10). uvicorn would wait for open connections before it tells
the application, so a long poll would hold it up: ours says "draining" first, ends long polls, waits
as long as the settings say, and exits with 0.
Rule 2: a connection can tell whether the socket took an answer while its client was there
(`took_all`).
Rule 3: a head that is too large is answered in our shape: 414 and 431. httptools itself knows no
limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import Iterator
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from proxy.api.responses import CONNECTION
from proxy.app import App
from proxy.config import ConfigurationError, Settings
from proxy.kafka.connection import Connection
from proxy.wire.errors import render_error

log = logging.getLogger(__name__)

BACKLOG = 2048


def serve(settings: Settings) -> int:
    """
    Run until a signal, then stop; the exit code.

    Raises: ConfigurationError for a port that is in use or a certificate that cannot be used
    """
    try:
        connection = Connection.from_settings(settings)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigurationError(f"TLS to the brokers: {exc}") from exc
    listener = listen(settings.host, settings.port)
    app = App(settings, connection)
    config = uvicorn.Config(
        app,
        http=_protocol(settings),
        ws="none",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        root_path="",
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_timeout_s,
        timeout_graceful_shutdown=max(1, settings.shutdown_timeout_ms // 1000),
    )
    host, port = listener.getsockname()[:2]
    log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    Server(config, app, settings).run(sockets=[listener])
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; it is bound before anything is started. Raises ConfigurationError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as exc:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {exc.strerror or exc}") from exc
    return listener


class Server(uvicorn.Server):
    """Rule 1."""

    def __init__(self, config: uvicorn.Config, app: App, settings: Settings) -> None:
        super().__init__(config)
        self._app = app
        self._drain_delay_s = settings.drain_delay_ms / 1000

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """
        As uvicorn does, without raising the signal again at the end: we stopped as we were asked.
        """
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, a second SIGINT ends at once."""
        if self._app.context is None or self._app.context.draining:
            super().handle_exit(sig, frame)
            return
        log.info("signal %d: draining", sig)
        self._app.context.draining = True
        self._app.context.instances.hurry()
        asyncio.get_running_loop().call_later(self._drain_delay_s, super().handle_exit, sig, frame)


def _protocol(settings: Settings) -> type[HttpToolsProtocol]:
    """A protocol class with the limits of these settings."""
    max_url_bytes, max_header_bytes = settings.max_url_bytes, settings.max_header_bytes

    class Protocol(HttpToolsProtocol):
        """Rules 2 and 3."""

        _head_bytes = 0
        _refused = False

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._head_bytes = 0
            extensions: dict[str, Any] = {CONNECTION: self}
            self.scope["extensions"] = extensions

        def on_url(self, url: bytes) -> None:
            super().on_url(url)
            if len(self.url) > max_url_bytes:
                self._refuse(414, f"The URL is longer than the limit of {max_url_bytes} bytes.")

        def on_header(self, name: bytes, value: bytes) -> None:
            self._head_bytes += len(name) + len(value) + 4
            if self._head_bytes > max_header_bytes:
                self._refuse(
                    431, f"The header is larger than the limit of {max_header_bytes} bytes."
                )
            elif not self._refused:
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            if not self._refused:
                super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            if not self._refused:
                super().on_body(body)

        def on_message_complete(self) -> None:
            if not self._refused:
                super().on_message_complete()

        def data_received(self, data: bytes) -> None:
            if not self._refused:
                super().data_received(data)

        def _refuse(self, status: int, message: str) -> None:
            if self._refused:
                return
            self._refused = True
            body = render_error(status, message)
            phrase = {414: b"URI Too Long", 431: b"Request Header Fields Too Large"}[status]
            self.transport.write(
                b"HTTP/1.1 %d %b\r\ncontent-type: application/vnd.kafka.v2+json\r\n"
                b"content-length: %d\r\nconnection: close\r\n\r\n%b"
                % (status, phrase, len(body), body)
            )
            self.transport.close()

        async def took_all(self) -> bool:
            """
            Whether the socket took all that was written while the client was still there.

            Waits for a slow client. Call it before the last message of an answer, which may close
            the connection.
            """
            cycle: Any = self.cycle
            # A close that has arrived already is seen by the next turn of the loop.
            await asyncio.sleep(0)
            # Any byte that the socket has not taken counts as too many, for as long as this takes.
            self.transport.set_write_buffer_limits(high=0)
            await self.flow.drain()
            self.transport.set_write_buffer_limits()
            return not (cycle.disconnected or self.transport.is_closing())

    return Protocol
