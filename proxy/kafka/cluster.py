"""
The one client for all that is asked of the cluster itself: metadata, configs, offsets, direct
reads.

It connects in the background and goes on trying, so that the process starts, and answers 503, while
the brokers are away.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Hashable
from typing import Any

from aiokafka.client import ConnectionGroup
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from proxy.errors import BrokersUnreachable
from proxy.kafka.broker_errors import translated
from proxy.kafka.connection import Connection, NonCreatingClient
from proxy.kafka.deadline import let_run, within

log = logging.getLogger(__name__)

# Between two attempts to connect; doubled each time up to the second.
FIRST_BACKOFF_S = 0.1
LAST_BACKOFF_S = 3.0
# A metadata or config request that takes longer than this is as good as none.
ASK_TIMEOUT_S = 10.0
# Whoever answered so lately is there; else one is asked, and given so long.
HEARD_S = 3.0
CHECK_TIMEOUT_S = 2.0
# What any broker can answer is asked of the next one when the first has not answered by then. One
# of three that hangs must not make a third of all requests, `/ready` among them, fail.
NEXT_BROKER_S = 0.7
# How often it is logged that there is no broker.
TELL_EVERY_S = 30.0


def unreachable() -> Exception:
    """For `within`: the brokers did not answer in time."""
    return BrokersUnreachable("The brokers cannot be reached.")


def _may_ask_another(failure: BaseException) -> bool:
    return isinstance(failure, BrokersUnreachable) or (
        isinstance(failure, KafkaError) and failure.retriable
    )


class Cluster:
    """Entered once, in the lifespan; `ask` may be called from any number of requests at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client: Any = None
        self._connected = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None
        self._answered_last: int | None = None
        self._answered_at = -HEARD_S

    async def start(self) -> None:
        """Begin to connect; returns at once."""
        client: Any = NonCreatingClient
        self._client = client(**self._connection.arguments)
        self._connecting = asyncio.create_task(self._connect())

    async def stop(self) -> None:
        """Close every connection."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        await self._client.close()

    async def _connect(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        told_at: float | None = None
        while True:
            try:
                await self._client.bootstrap()
            except Exception as exc:
                # Whatever it is: to give up would be never to get ready.
                if told_at is None or time.monotonic() - told_at >= TELL_EVERY_S:
                    told_at = time.monotonic()
                    log.warning("no broker reached, trying again: %s", exc)
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, LAST_BACKOFF_S)
            else:
                if told_at is not None:
                    log.info("brokers reached")
                self._connected.set()
                return

    async def ask(
        self,
        request: Any,
        node_id: int | None = None,
        *,
        timeout_s: float = ASK_TIMEOUT_S,
        group: Hashable = ConnectionGroup.DEFAULT,
    ) -> Any:
        """
        A broker's answer to a request of aiokafka's protocol classes; any broker's when `node_id`
        is None.

        Raises: BrokersUnreachable when there is none within `timeout_s`
        """
        with translated():
            return await within(timeout_s, self._ask(request, node_id, group), unreachable)

    async def _ask(self, request: Any, node_id: int | None, group: Hashable) -> Any:
        await self._connected.wait()
        if node_id is not None:
            return await self._send(node_id, request, group)
        nodes = [broker.nodeId for broker in self._client.cluster.brokers()]
        random.shuffle(nodes)
        nodes.sort(key=lambda node: node != self._answered_last)
        waiting: dict[asyncio.Task[Any], int] = {}
        while nodes or waiting:
            if nodes:
                node = nodes.pop(0)
                waiting[asyncio.create_task(self._send(node, request, group))] = node
            done, _ = await asyncio.wait(
                waiting,
                timeout=NEXT_BROKER_S if nodes else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                node = waiting.pop(task)
                failure = task.exception()
                if failure is None or not _may_ask_another(failure):
                    self._answered_last = node
                    for other in waiting:
                        let_run(other)
                    return task.result()
        # All that are known have gone: the client looks for others by way of the bootstrap servers.
        await self._client.force_metadata_update()
        raise unreachable()

    async def _send(self, node_id: int, request: Any, group: Hashable) -> Any:
        try:
            answer = await self._client.send(node_id, request, group=group)
        except KeyError as exc:
            # aiokafka looks its connection up again when a request timed out; another request may
            # have thrown it away by then.
            raise unreachable() from exc
        self._answered_at = time.monotonic()
        return answer

    async def check(self) -> None:
        """Raises BrokersUnreachable unless one has answered lately, or answers now."""
        if time.monotonic() - self._answered_at >= HEARD_S:
            await self.brokers(timeout_s=CHECK_TIMEOUT_S)

    async def brokers(self, *, timeout_s: float = ASK_TIMEOUT_S) -> list[int]:
        """The ids of the brokers that are alive."""
        request = MetadataRequest([], allow_auto_topic_creation=False)
        metadata = await self.ask(request, timeout_s=timeout_s)
        return sorted(broker[0] for broker in metadata.brokers)
