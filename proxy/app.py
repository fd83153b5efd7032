"""
The composition root: what starts must stop, in order, and every request passes here.

Rule 1: a produce request goes straight to its endpoint; everything else is looked up in the route
table.
Rule 2: an exception becomes an answer here, with two exceptions. A produce of which no record was
written answers for itself (`api/v2/produce.py`), and what is no request yet is refused by
`server/protocol.py`.
Rule 3: a path is taken with the prefix of `root_path` and without: some front proxies cut it off.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from proxy.api.context import Context, context_of, going_down
from proxy.api.endpoint import Call
from proxy.api.error_responses import answer_for, respond_error
from proxy.api.limits import Budget, ClientGone, check_codings
from proxy.api.request_log import log_request
from proxy.api.responses import CONNECTION, Connection
from proxy.api.routes import find_endpoint, split_path
from proxy.api.v2.produce import produce
from proxy.config import Settings
from proxy.errors import OutcomeUnknown
from proxy.kafka.cluster import Cluster
from proxy.kafka.connection import Connection as Brokers
from proxy.kafka.consumer_options import KafkaAccess
from proxy.kafka.direct_reader import DirectReader
from proxy.kafka.instances import Instances
from proxy.kafka.lanes import Lanes
from proxy.kafka.produce import Produce
from proxy.kafka.producers import Producers
from proxy.kafka.topics import Topics
from proxy.observe.metrics import Metrics

log = logging.getLogger(__name__)

NO_ROUTE = "unmatched"


@asynccontextmanager
async def running(settings: Settings, connection: Brokers) -> AsyncIterator[Context]:
    """
    Everything that a request may need, from start to stop; brokers need not be there yet.

    Stops in the reverse order: instances leave their groups, batches that were handed over end,
    connections close.
    """
    cluster = Cluster(connection)
    topics = Topics(
        cluster, ttl_s=settings.metadata_ttl_ms / 1000, auto_create=settings.auto_create_topics
    )
    producers = Producers(connection, settings)
    instances = Instances(KafkaAccess(connection, cluster, topics, settings))
    budget = Budget(settings.max_in_flight_bytes)
    metrics = Metrics()
    metrics.add_gauge("koh_consumer_instances", "Consumer instances.", lambda: len(instances))
    metrics.add_gauge(
        "koh_in_flight_bytes", "Bytes of requests on their way.", lambda: budget.used_bytes
    )
    metrics.add_counter(
        "koh_producers_replaced_total",
        "Producers replaced after a failure.",
        lambda: producers.replaced,
    )
    reader = DirectReader(cluster, topics)
    metrics.add_gauge("koh_direct_reads", "Direct reads that run.", lambda: reader.running)
    await cluster.start()
    producers.start()
    instances.start()
    context = Context(
        settings=settings,
        cluster=cluster,
        topics=topics,
        produce=Produce(Lanes(producers, topics), settings),
        reader=reader,
        instances=instances,
        budget=budget,
        metrics=metrics,
    )
    try:
        yield context
    finally:
        await instances.stop(context.left_s())
        await producers.stop(context.left_s())
        await cluster.stop()


class App:
    """The ASGI application."""

    def __init__(self, settings: Settings, connection: Brokers) -> None:
        self._settings = settings
        self._connection = connection
        self.context: Context | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope["state"], receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.perf_counter()
        context = context_of(scope)
        method: str = scope["method"]
        path = self._own_path(scope["raw_path"].decode("latin-1"))
        template, status = NO_ROUTE, 0
        try:
            if method == "POST" and path.startswith("/topics/"):
                segments = split_path(path)
                if len(segments) == 2 and segments[1]:
                    template = "/topics/{topic}"
                    check_codings(scope)
                    status = await produce(scope, receive, send, segments[1], None)
                    return
            found = find_endpoint(method, path)
            template = found.template
            check_codings(scope)
            watched = StatusOf(send)
            try:
                await found.endpoint(Call(scope, receive, watched, found.segments))
            finally:
                status = watched.status
        except ClientGone:
            log.debug("client closed the connection in mid-request")
        except asyncio.CancelledError:
            # The server cancels what is not done when the time to stop is over, and nobody else
            # does. It would answer in its own way and log that we did not.
            if not has_begun_answer(scope):
                status = await refuse(scope, send, too_late(method))
        except Exception as exc:
            if has_begun_answer(scope):
                # The server closes the connection: the client sees that it has not all.
                log.error("failed in mid-answer", exc_info=exc)
            else:
                status = await refuse(scope, send, exc)
        finally:
            seconds = time.perf_counter() - begun
            context.metrics.count_request(template, method, status, seconds)
            if self._settings.access_log:
                log_request(scope, status, seconds)

    def _own_path(self, path: str) -> str:
        prefix = self._settings.root_path
        if prefix and path.startswith(prefix) and path[len(prefix) :][:1] in ("", "/"):
            return path[len(prefix) :] or "/"
        return path

    async def _lifespan(self, state: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        async with running(self._settings, self._connection) as context:
            state["context"] = self.context = context
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def has_begun_answer(scope: Scope) -> bool:
    """Whether the head of an answer to this request has been sent."""
    connection: Connection = scope["extensions"][CONNECTION]
    return connection.has_begun_answer(scope)


async def refuse(scope: Scope, send: Send, exc: Exception) -> int:
    """Answer with the error; its status."""
    await respond_error(scope, send, exc)
    return answer_for(exc).status


def too_late(method: str) -> Exception:
    """What is said to a request that the end of the process has overtaken."""
    if method in ("GET", "HEAD"):
        return going_down()
    return OutcomeUnknown("The service is going down; whether this was done is unknown.")


class StatusOf:
    """A `send` that remembers the status that went by."""

    __slots__ = ("_send", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)
