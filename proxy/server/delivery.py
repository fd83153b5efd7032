"""
A connection that can tell whether an answer was delivered: the socket took it all while the client
was there. Source: CONTRACT.md section 7
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import termios
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class DeliveringProtocol(HttpToolsProtocol):
    """The other half of `proxy.api.responses.Connection`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # `self.cycle` is that of the last request that came, which may wait behind this one.
        self._running: RequestResponseCycle | None = None
        self._ended_with_all = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        # With pipelined requests uvicorn tells the last one only, and not the one that runs.
        for cycle in (self._running, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def has_begun_answer(self, scope: object) -> bool:
        """Whether the head of the answer to this request has been sent."""
        running = self._running
        # Once an answer is complete, the request behind it runs.
        return running is None or running.scope is not scope or running.response_started

    async def took_all(self) -> bool:
        """
        Whether the socket took all that was written while the client was still there.

        Waits for a slow client. Call it before the last message of an answer, which may close the
        connection.
        """
        # With a pipelined request behind it, nothing was read, and no end of the connection seen.
        self.flow.resume_reading()
        # A close that has arrived already is seen by the next turn of the loop, or by the one
        # after it where there were bytes before the end.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        # Any byte that the socket has not taken counts as too many, for as long as this takes.
        if not self._is_over():
            self.transport.set_write_buffer_limits(high=0)
            await self.flow.drain()
        # uvloop's transports raise on this once they are closed.
        if self._is_over():
            return self._ended_with_all
        self.transport.set_write_buffer_limits()
        return True

    def eof_received(self) -> None:
        """
        The client closed: as one that has finished does, with all of the answer, or before.

        A client without keep-alive closes as soon as it has the last byte, often before we have
        seen that the socket took it. An end with everything acknowledged is such a one: a client
        that closes with bytes unread makes its system send a reset, which is no end but an error.
        Source: RFC 9293 section 3.10.4; RFC 2525 section 2.17
        """
        running = self._running
        self._ended_with_all = (
            running is not None
            and running.response_started
            and not running.response_complete
            and self.transport.get_write_buffer_size() == 0
            and unacknowledged_bytes(self.transport) == 0
        )

    def _is_over(self) -> bool:
        gone = self._running is None or self._running.disconnected
        return gone or self.transport.is_closing()


def unacknowledged_bytes(transport: asyncio.Transport) -> int:
    """What the socket has taken and the client's system has not, yet."""
    count = array.array("i", [1])
    with contextlib.suppress(OSError):
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, count)
    return count[0]
