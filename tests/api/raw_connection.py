"""A TCP connection to the proxy that sends what a client library would not, and reads answers."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came. `headers` in lower case; a field that stands twice is joined."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def parsed(self) -> object:
        """The body as JSON."""
        return orjson.loads(self.body)

    @property
    def refusal(self) -> tuple[int, str, object]:
        """Status, content type and body: what a test of an error looks at."""
        return self.status, self.headers["content-type"], self.parsed


class RawConnection:
    """Bytes out, answers in. Reads raise TimeoutError after 10 s, ConnectionError at an end."""

    def __init__(self, url: str, receive_buffer_bytes: int | None = None) -> None:
        parts = urlsplit(url)
        family = socket.AF_INET6 if ":" in (parts.hostname or "") else socket.AF_INET
        self.socket = socket.socket(family)
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(TIMEOUT_S)
        try:
            self.socket.connect((parts.hostname, parts.port))
        except OSError:
            self.socket.close()
            raise
        self._kept = b""

    def send(self, data: bytes) -> None:
        """Send it all."""
        self.socket.sendall(data)

    def get(self, path: str, *fields: str, method: str = "GET") -> Answer:
        """Ask for a path, with header fields `Name: value`; the connection stays open."""
        self.send(render_head(f"{method} {path} HTTP/1.1", *fields))
        return self.read(without_body=method == "HEAD")

    def read(self, *, without_body: bool = False) -> Answer:
        """The next answer."""
        head = self._read_until(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            kept = headers.get(name.lower())
            headers[name.lower()] = value.strip() if kept is None else f"{kept}, {value.strip()}"
        status = int(status_line.split()[1])
        if without_body or status in (100, 204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, b"".join(self._read_chunks()))
        return Answer(status, headers, self._read_exactly(int(headers["content-length"])))

    def is_closed(self) -> bool:
        """Whether the server ends the connection, waited for; bytes before the end are an error."""
        try:
            rest = self._kept or self.socket.recv(100)
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        if rest:
            raise AssertionError(f"more came: {rest!r}")
        return True

    def reset(self) -> None:
        """Go away as a crashed client does, with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """Go away as a client does that has finished."""
        self.socket.close()

    def _read_until(self, end: bytes) -> bytes:
        while end not in self._kept:
            self._receive()
        found, self._kept = self._kept.split(end, 1)
        return found

    def _read_exactly(self, count: int) -> bytes:
        while len(self._kept) < count:
            self._receive()
        found, self._kept = self._kept[:count], self._kept[count:]
        return found

    def _read_chunks(self) -> Iterator[bytes]:
        while size := int(self._read_until(b"\r\n"), 16):
            yield self._read_exactly(size)
            self._read_exactly(2)
        self._read_exactly(2)

    def _receive(self) -> None:
        received = self.socket.recv(1 << 16)
        if not received:
            raise ConnectionError(f"the server closed after {self._kept!r}")
        self._kept += received


def render_head(request_line: str, *fields: str) -> bytes:
    """The head of a request, with a Host unless one is given."""
    if not any(field.lower().startswith("host:") for field in fields):
        fields = ("Host: proxy.example", *fields)
    return "\r\n".join([request_line, *fields, "", ""]).encode("latin-1")


@contextlib.contextmanager
def connected(url: str, receive_buffer_bytes: int | None = None) -> Iterator[RawConnection]:
    """A connection that is closed at the end."""
    connection = RawConnection(url, receive_buffer_bytes)
    try:
        yield connection
    finally:
        connection.close()


def ask(url: str, path: str, *fields: str, method: str = "GET") -> Answer:
    """One request on a connection of its own."""
    with connected(url) as connection:
        return connection.get(path, *fields, method=method)
