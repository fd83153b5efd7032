"""
uvicorn, with a signal of ours (house rule 10).

Rule 1: the first signal makes `/ready` answer 503, and nothing else for `drain_delay_ms`, so that
load balancers notice. Then nothing new is taken, long polls end early, what runs is answered,
instances leave their groups, and the process exits with 0: all of it within `shutdown_timeout_ms`.
Rule 2: a second SIGINT ends the process at once.
Rule 3: the handler itself only counts. It may have interrupted a log line that is being written,
and to log there raises: the signal would be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from types import FrameType

import uvicorn

from proxy.app import App
from proxy.config import ConfigurationError, Settings
from proxy.kafka.connection import Connection
from proxy.server.protocol import protocol_for

log = logging.getLogger(__name__)

BACKLOG = 2048
# What is left of the time to stop, after requests had theirs, for instances to leave their groups.
LEAVING_SHARE = 4
INTERRUPTED = 128 + signal.SIGINT


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
    shutdown_s = settings.shutdown_timeout_ms / 1000
    config = uvicorn.Config(
        app,
        http=protocol_for(settings),
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
        timeout_graceful_shutdown=max(1, int(shutdown_s - shutdown_s / LEAVING_SHARE)),
    )
    host, port = listener.getsockname()[:2]
    server = Server(config, app, settings)
    with server.signals():
        log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        server.run(sockets=[listener])
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
    except (OSError, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else None
        raise ConfigurationError(f"cannot listen on {host}:{port}: {reason or exc}") from exc
    return listener


class Server(uvicorn.Server):
    """Rules 1 and 2."""

    def __init__(self, config: uvicorn.Config, app: App, settings: Settings) -> None:
        super().__init__(config)
        self._app = app
        self._drain_delay_s = settings.drain_delay_ms / 1000
        self._shutdown_s = settings.shutdown_timeout_ms / 1000
        self._signals = 0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's way would take signals later, and raise them again at the end."""
        yield

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """From before the start to after the end, signals are ours."""
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, a second SIGTERM does not wait for load balancers."""
        self._signals += 1
        if self._signals > 1 and sig == signal.SIGINT:
            os._exit(INTERRUPTED)
        if self._app.context is None:
            self.should_exit = True
        else:
            begin = self._close if self._signals > 1 else self._withdraw
            asyncio.get_running_loop().call_soon_threadsafe(begin)

    def _withdraw(self) -> None:
        log.info("draining")
        context = self._app.context
        if context is not None:
            context.withdrawn = True
        asyncio.get_running_loop().call_later(self._drain_delay_s, self._close)

    def _close(self) -> None:
        context = self._app.context
        if context is not None and not context.draining:
            context.drain(time.monotonic() + self._shutdown_s)
        self.should_exit = True
