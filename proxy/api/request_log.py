"""The access log, when it is on: one line for each request, without query, body or credentials."""

from __future__ import annotations

import structlog
from starlette.types import Scope

log = structlog.get_logger("proxy.access")


def log_request(scope: Scope, status: int, seconds: float) -> None:
    """One line; status 0 where the client went away before there was one."""
    client = scope.get("client")
    log.info(
        "request",
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        status=status,
        seconds=round(seconds, 4),
        client=None if client is None else client[0],
    )
