"""
All consumer instances of this process: by group and name, with an end for those that nobody uses.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from proxy.errors import InstanceExists, Overloaded, UnknownInstance
from proxy.kafka.consumer_options import ConsumerOptions, KafkaAccess
from proxy.kafka.instance import ConsumerInstance

log = logging.getLogger(__name__)

SWEEP_S = 1.0


class Instances:
    """Entered once, in the lifespan."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self._instances: dict[tuple[str, str], ConsumerInstance] = {}
        self._timeout_s = access.settings.consumer_instance_timeout_ms / 1000
        self._sweeping: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._instances)

    def start(self) -> None:
        """Begin to look for idle instances."""
        self._sweeping = asyncio.create_task(self._sweep())

    async def stop(self, timeout_s: float) -> None:
        """
        All leave their groups, at most for so long. What was delivered and not committed comes
        again.
        """
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        for key in list(self._instances):
            self._end_later(self._instances.pop(key), commit=True)
        if self._ending:
            await asyncio.wait(self._ending, timeout=timeout_s)

    def hurry(self) -> None:
        """We are going down: fetches that wait answer with what they have, now and from now on."""
        for instance in self._instances.values():
            instance.hurry()

    def create(self, group: str, name: str | None, options: ConsumerOptions) -> ConsumerInstance:
        """
        A new instance; a missing name is made up.

        Raises: InstanceExists; Overloaded when there are as many as there may be
        """
        if name is None:
            name = f"kafka-over-http-{uuid.uuid4()}"
        if (group, name) in self._instances:
            raise InstanceExists
        if len(self._instances) >= self._access.settings.max_consumer_instances:
            raise Overloaded("There are as many consumer instances as there may be.", 5)
        instance = ConsumerInstance(group, name, options, self._access)
        self._instances[group, name] = instance
        return instance

    @contextmanager
    def using(self, group: str, name: str) -> Iterator[ConsumerInstance]:
        """
        The instance, which is not idle meanwhile.

        Raises: UnknownInstance
        """
        instance = self._instances.get((group, name))
        if instance is None:
            raise UnknownInstance
        instance.requests += 1
        try:
            yield instance
        finally:
            instance.requests -= 1
            instance.last_used = time.monotonic()

    async def delete(self, group: str, name: str) -> None:
        """
        End an instance; it has left its group when this returns.

        Raises: UnknownInstance, also for the second of two at once
        """
        instance = self._instances.pop((group, name), None)
        if instance is None:
            raise UnknownInstance
        await instance.close(commit=True)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            idle_since = time.monotonic() - self._timeout_s
            for key, instance in list(self._instances.items()):
                if instance.requests == 0 and instance.last_used < idle_since:
                    log.info("consumer instance %s/%s was idle and is removed", *key)
                    # Its client may have died with what was delivered: that comes again elsewhere.
                    self._end_later(self._instances.pop(key), commit=False)

    def _end_later(self, instance: ConsumerInstance, *, commit: bool) -> None:
        task = asyncio.create_task(self._end(instance, commit=commit))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, instance: ConsumerInstance, *, commit: bool) -> None:
        try:
            await instance.close(commit=commit)
        except Exception as exc:
            log.warning("%s/%s did not leave its group: %s", instance.group, instance.name, exc)
