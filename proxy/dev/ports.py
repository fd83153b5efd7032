"""Loopback ports that are free and stay ours."""

from __future__ import annotations

import contextlib
import random
import socket

# Below the ephemeral range of Linux (32768) and macOS (49152). A port within it may be taken by any
# outgoing connection while its broker restarts; a client that keeps trying it on loopback can even
# connect to itself.
FIRST_PORT, LAST_PORT = 20000, 32000


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: a port that only waits out TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind((host, port))
            return True
    return False


def pick_port(host: str = "127.0.0.1") -> int:
    """A free port, other than those picked lately by chance alone."""
    while True:
        port = random.randrange(FIRST_PORT, LAST_PORT)  # noqa: S311 (no secret)
        if is_free(host, port):
            return port
