"""
Load over HTTP: wrk for produce, raw sockets for reads, a constant rate for latency.

Run as a process of its own where its own time would count in what is measured.
"""

from __future__ import annotations

import re
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.processes import install_wrk

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rate:
    """What a generator did: requests or records, in how many seconds."""

    count: int
    seconds: float

    @property
    def per_second(self) -> float:
        return self.count / self.seconds


def post(url: str, body: bytes, content_type: str, connections: int, seconds: int) -> Rate:
    """
    POST the same body over keep-alive connections for so long; the requests that got 2xx.

    Raises: RuntimeError when one did not
    """
    with (
        tempfile.NamedTemporaryFile("w", suffix=".lua") as script,
        tempfile.NamedTemporaryFile() as f,
    ):
        f.write(body)
        f.flush()
        script.write(
            f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "{content_type}"\n'
            f'local file = io.open("{f.name}", "rb")\nwrk.body = file:read("*all")\nfile:close()\n'
        )
        script.flush()
        command = [install_wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
        told = subprocess.run(
            [*command, "-s", script.name, url], capture_output=True, text=True, check=True
        ).stdout
    if "Non-2xx" in told or "Socket errors" in told:
        raise RuntimeError(f"wrk saw failures:\n{told}")
    requests = re.search(r"(\d+) requests in ([0-9.]+)(m?s)", told)
    if requests is None:
        raise RuntimeError(f"wrk said nothing to read:\n{told}")
    return Rate(int(requests[1]), float(requests[2]) / (1000 if requests[3] == "ms" else 1))


class Reader:
    """GET over one keep-alive connection, with as little work of our own as can be."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.netloc
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path: str, accept: str) -> bytes:
        """The body. Raises RuntimeError when it is not a success."""
        return self._exchange(
            f"GET {path} HTTP/1.1\r\nhost: {self._host}\r\naccept: {accept}\r\n", b""
        )

    def post(self, path: str, body: bytes, content_type: str) -> bytes:
        """The body of the answer. Raises as `get` does."""
        head = f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-type: {content_type}\r\n"
        return self._exchange(f"{head}content-length: {len(body)}\r\n", body)

    def delete(self, path: str) -> bytes:
        """Nothing. Raises as `get` does."""
        return self._exchange(f"DELETE {path} HTTP/1.1\r\nhost: {self._host}\r\n", b"")

    def _exchange(self, head: str, body: bytes) -> bytes:
        self._socket.sendall(head.encode() + b"\r\n" + body)
        return self._read_answer()

    def _read_answer(self) -> bytes:
        buffer = bytearray()
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            buffer += self._read()
        head = bytes(buffer[: end + 4])
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"answer: {bytes(buffer)!r}")
        length = CONTENT_LENGTH.search(head)
        if length is None:
            return b""
        body = buffer[end + 4 :]
        while len(body) < int(length[1]):
            body += self._read()
        return bytes(body)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _read(self) -> bytes:
        chunk = self._socket.recv(1 << 20)
        if not chunk:
            raise RuntimeError("the connection was closed")
        return chunk


def read_all(url: str, path: str, accept: str, records: int) -> Rate:
    """Fetch until so many records have come."""
    reader = Reader(url)
    found, begun = 0, time.perf_counter()
    while found < records:
        found += reader.get(path, accept).count(b',"offset":')
    seconds = time.perf_counter() - begun
    reader.close()
    return Rate(found, seconds)
