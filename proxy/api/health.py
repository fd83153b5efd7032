"""
GET /                              what this is, and where to go
GET /live                          the process answers
GET /ready, GET /status/ready      brokers are reachable and we are not going down
GET /metrics                       Prometheus text

Liveness looks at nothing: to start the process anew repairs no broker. Readiness asks a broker for
metadata each time, with a short deadline.
"""

from __future__ import annotations

import orjson

from proxy import __version__
from proxy.api.base_uri import base_uri
from proxy.api.context import going_down
from proxy.api.endpoint import Call
from proxy.observe.metrics import CONTENT_TYPE
from proxy.wire.media_types import APPLICATION_JSON

READY_TIMEOUT_S = 3.0


async def show_service(call: Call) -> None:
    """GET /"""
    content_type = call.negotiate()
    base = base_uri(call.scope, call.context.settings)
    body = {
        "service": "kafka-over-http",
        "version": __version__,
        "links": {
            name: f"{base}/{path}"
            for name, path in (
                ("topics", "topics"),
                ("brokers", "brokers"),
                ("openapi", "openapi.json"),
                ("docs", "docs"),
                ("ready", "ready"),
                ("metrics", "metrics"),
            )
        },
    }
    await call.answer(orjson.dumps(body), content_type)


async def live(call: Call) -> None:
    """GET /live"""
    await call.answer(b'{"status":"live"}', APPLICATION_JSON)


async def ready(call: Call) -> None:
    """GET /ready, GET /status/ready. Raises Overloaded, BrokersUnreachable: both 503."""
    if call.context.withdrawn:
        raise going_down()
    await call.context.cluster.brokers(timeout_s=READY_TIMEOUT_S)
    await call.answer(b'{"status":"ready"}', APPLICATION_JSON)


async def metrics(call: Call) -> None:
    """GET /metrics"""
    await call.answer(call.context.metrics.show(), CONTENT_TYPE)
