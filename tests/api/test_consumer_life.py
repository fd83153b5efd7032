"""How instances end, and what they leave behind: nothing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.api.instance_client import (
    NOT_FOUND,
    NOTHING,
    an_instance,
    answer,
    assert_no_traceback,
    create,
    eventually,
    http_client,
)
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.brokers.proxy_process import ProxyProcess
from tests.conftest import ProxyFactory, TopicFactory

pytestmark = pytest.mark.anyio

SOON_S = 5.0


def open_files(proxy: ProxyProcess) -> int:
    """How many files and sockets the proxy has open."""
    return len(list(Path(f"/proc/{worker_pid(proxy)}/fd").iterdir()))


def cpu_s(proxy: ProxyProcess) -> float:
    """Processor time that the proxy has used so far."""
    fields = Path(f"/proc/{worker_pid(proxy)}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def worker_pid(proxy: ProxyProcess) -> int:
    """The tether's child, where the tether stays, else the child itself."""
    children = Path(f"/proc/{proxy.child.pid}/task/{proxy.child.pid}/children").read_text().split()
    return int(children[0]) if children else proxy.child.pid


async def test_an_idle_instance_is_removed(
    broker: Broker, start_proxy: ProxyFactory, topic: TopicFactory, name: str
) -> None:
    """
    Without a request for so long it goes, what it delivered comes again to the others; any request
    keeps it, a long poll all the while.
    """
    read = await topic(partitions=2)
    for partition in (0, 1):
        await verify.produce(broker.bootstrap, read, [b"x"], partition=partition)
    proxy = start_proxy(consumer_instance_timeout_ms=1500)
    async with http_client() as client:
        polls, asks, idle = [await create(client, proxy.url, name) for _ in range(3)]
        await polls.subscribe(read)
        await idle.subscribe(read)
        [(_, theirs)] = await idle.assignments()
        assert len(await idle.fetch(timeout=5000)) == 1
        assert len(await polls.fetch(timeout=5000)) == 1
        waiting = asyncio.create_task(polls.fetch(timeout=15_000))

        async def is_gone() -> bool:
            assert (await asks.get("/subscription")).status_code == 200
            return await verify.count_members(broker.bootstrap, name) == 1

        await eventually(is_gone, every_s=0.2)
        assert answer(await idle.get("/records")) == NOT_FOUND
        assert [record["partition"] for record in await waiting] == [theirs]
        assert answer(await asks.delete()) == NOTHING
        assert answer(await polls.delete()) == NOTHING


async def test_deleted_while_it_joins(
    broker: Broker, start_proxy: ProxyFactory, topic: TopicFactory, name: str
) -> None:
    """DELETE does not wait for a join, which ends with 40403; the other member goes on."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [b"x"])
    proxy = start_proxy(heartbeat_interval_ms=3000)
    async with an_instance(proxy.url, name) as stays:
        await stays.subscribe(read)
        leaves = await create(stays.client, proxy.url, name)
        joining = asyncio.create_task(leaves.post("/subscription", {"topics": [read]}))

        async def has_begun() -> bool:
            return await verify.count_members(broker.bootstrap, name) == 2

        await asyncio.wait([asyncio.create_task(eventually(has_begun))], timeout=1)
        begun = time.monotonic()
        assert (await leaves.delete()).status_code == 204
        assert answer(await joining) == NOT_FOUND
        assert time.monotonic() - begun < SOON_S

        async def is_alone() -> bool:
            return await verify.count_members(broker.bootstrap, name) == 1

        await eventually(is_alone)
        assert len(await stays.fetch_until(1)) == 1
    assert_no_traceback(proxy.log)


async def test_everything_at_once_on_one_instance(
    broker: Broker, start_proxy: ProxyFactory, topic: TopicFactory, name: str
) -> None:
    """Subscribing, fetching, seeking, committing and deleting at the same time answers all."""
    read = await topic(partitions=2)
    await verify.produce(broker.bootstrap, read, [b"x"] * 100)
    proxy = start_proxy()
    where = {"partitions": [{"topic": read, "partition": 0}]}
    async with http_client() as client:
        for turn in range(5):
            instance = await create(client, proxy.url, name)
            calls = [
                instance.post("/subscription", {"topics": [read]}),
                instance.get("/records", timeout=500),
                instance.post("/positions/beginning", where),
                instance.post("/offsets"),
                instance.get("/offsets"),
                instance.post("/subscription", {"topic_pattern": read}),
                instance.delete("/subscription"),
                instance.post("/assignments", where),
                instance.get("/records", timeout=500),
                instance.post("/positions/end", where),
            ]
            tasks = [asyncio.create_task(call) for call in calls]
            await asyncio.wait(tasks, timeout=0.03 * turn)
            assert (await instance.delete()).status_code == 204
            async with asyncio.timeout(15):
                statuses = {(await task).status_code for task in tasks}
                # 503: a commit while the group rebalances for the other requests.
                assert statuses <= {200, 204, 404, 409, 503}
        assert await verify.count_members(broker.bootstrap, name) == 0
    assert_no_traceback(proxy.log)


async def test_nothing_is_left_behind(
    broker: Broker, start_proxy: ProxyFactory, topic: TopicFactory, name: str
) -> None:
    """Made, subscribed, fetched and deleted, many at once, twice: no socket stays open."""
    read = await topic(partitions=2)
    await verify.produce(broker.bootstrap, read, [b"x"])
    proxy = start_proxy()
    async with http_client() as client:

        async def live(at: int) -> None:
            instance = await create(client, proxy.url, f"{name}-{at}")
            await instance.subscribe(read)
            assert len(await instance.fetch(timeout=10_000)) == 1
            assert answer(await instance.delete()) == NOTHING

        await live(0)
        before = open_files(proxy)
        await asyncio.gather(*[live(at) for at in range(1, 41)])
    async with http_client() as client:
        await asyncio.gather(*[live(at) for at in range(41, 81)])

    async def all_closed() -> bool:
        return open_files(proxy) <= before

    await eventually(all_closed)
    metrics = await _metrics(proxy.url)
    assert "koh_consumer_instances 0.0" in metrics
    assert_no_traceback(proxy.log)


async def _metrics(url: str) -> str:
    async with http_client() as client:
        return (await client.get(f"{url}/metrics")).text
