"""Brokers that die, hang and come back under instances that read from them."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.api.instance_client import (
    Instance,
    an_instance,
    assert_no_traceback,
    create,
    eventually,
    http_client,
)
from tests.brokers import verify
from tests.brokers.apache import ApacheKafka
from tests.conftest import KafkaFactory, ProxyFactory

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

FAST = {
    "session_timeout_ms": 6000,
    "request_timeout_ms": 3000,
    "subscribe_timeout_ms": 3000,
    "rebalance_timeout_ms": 3000,
    "shutdown_timeout_ms": 3000,
}


async def started(start_kafka: KafkaFactory, topic: str, partitions: int = 1) -> ApacheKafka:
    """A broker of the test's own, with a topic."""
    # A new broker waits for a member that died with the old one no longer than this.
    node = await asyncio.to_thread(start_kafka, {"group.min.session.timeout.ms": "1000"})
    await verify.await_brokers(node.bootstrap)
    await verify.create_topic(node.bootstrap, topic, partitions)
    return node


async def read_on(instance: Instance, seen: list[int], until: int) -> None:
    """Fetch until an offset has come; while the broker is away an error is as good as none."""
    while not seen or seen[-1] < until:
        fetched = await instance.get("/records", timeout=1000)
        if fetched.status_code == 200:
            seen += [record["offset"] for record in fetched.json()]
        else:
            assert fetched.status_code in (503, 504), fetched.text


async def is_told(instance: Instance) -> bool:
    """Whether a fetch says that the brokers are away, and not that there is nothing."""
    fetched = await instance.get("/records", timeout=100)
    return fetched.status_code == 503 and fetched.json()["error_code"] == 50302


async def test_a_broker_that_restarts(
    start_kafka: KafkaFactory, start_proxy: ProxyFactory, name: str
) -> None:
    """
    Instances of every policy go on after their broker was killed: nothing missing, nothing twice
    that was committed. While it is away subscribing is refused, and deleting does not hang.
    """
    node = await started(start_kafka, name)
    await verify.produce(node.bootstrap, name, [b"x"] * 5)
    proxy = await asyncio.to_thread(lambda: start_proxy(node.bootstrap, **FAST))
    async with http_client() as client:
        made = {
            policy: await create(client, proxy.url, f"{name}-{policy}", auto_offset_reset=policy)
            for policy in ("earliest", "latest", "none")
        }
        seen: dict[str, list[int]] = {policy: [] for policy in made}
        for policy, instance in made.items():
            if policy == "none":
                first = {"topic": name, "partition": 0, "offset": -1}
                await instance.commit({"offsets": [first]})
            await instance.subscribe(name)
        await verify.produce(node.bootstrap, name, [b"x"])
        await asyncio.gather(*[read_on(made[policy], seen[policy], 5) for policy in made])
        await asyncio.gather(*[instance.commit() for instance in made.values()])
        leaves = await create(client, proxy.url, f"{name}-2", auto_offset_reset="latest")
        await leaves.subscribe(name)
        await asyncio.to_thread(node.kill)
        await eventually(lambda: is_told(made["earliest"]))
        begun = time.monotonic()
        late = await create(client, proxy.url, f"{name}-3")
        refusal = await late.post("/subscription", {"topics": [name]})
        assert (refusal.status_code, refusal.json()["error_code"]) == (503, 50302)
        assert int(refusal.headers["retry-after"]) > 0
        assert (await leaves.delete()).status_code in (204, 504)
        assert time.monotonic() - begun < 10
        reading = [asyncio.create_task(read_on(made[policy], seen[policy], 6)) for policy in made]
        await asyncio.to_thread(node.restart)
        await verify.produce(node.bootstrap, name, [b"x"])
        await asyncio.gather(*reading)
        assert seen == {
            "earliest": list(range(7)),
            "latest": [5, 6],
            "none": list(range(7)),
        }

        async def all_commit() -> bool:
            answers = [await instance.post("/offsets") for instance in made.values()]
            return {one.status_code for one in answers} == {204}

        await eventually(all_commit)
        for policy in made:
            assert await verify.committed(node.bootstrap, f"{name}-{policy}") == {
                (name, 0): (7, "")
            }
        await late.subscribe(name)
        assert len(await late.fetch_until(7)) == 7
        await asyncio.gather(*[instance.delete() for instance in (late, *made.values())])
    assert_no_traceback(proxy.log)


async def test_a_broker_that_hangs(
    start_kafka: KafkaFactory, start_proxy: ProxyFactory, name: str
) -> None:
    """While it hangs every request is answered within its bounds; afterwards reading goes on."""
    node = await started(start_kafka, name)
    await verify.produce(node.bootstrap, name, [b"x"] * 3)
    proxy = await asyncio.to_thread(lambda: start_proxy(node.bootstrap, **FAST))
    async with an_instance(proxy.url, name, auto_commit_enable=True) as instance:
        await instance.subscribe(name)
        assert len(await instance.fetch(timeout=10_000)) == 3
        doomed = await create(instance.client, proxy.url, f"{name}-2", auto_offset_reset="latest")
        await doomed.subscribe(name)
        node.freeze()
        try:
            begun = time.monotonic()
            where = {"partitions": [{"topic": name, "partition": 0}]}
            fetched, stored, sought, joined, deleted = await asyncio.gather(
                instance.get("/records", timeout=100),
                instance.post("/offsets"),
                instance.post("/positions/end", where),
                instance.post("/subscription", {"topics": [f"{name}-other"]}),
                doomed.delete(),
            )
            assert time.monotonic() - begun < 12
            assert (fetched.status_code, fetched.json()) == (200, [])
            assert stored.status_code in (503, 504)
            assert sought.status_code in (503, 504)
            assert joined.status_code in (204, 503)
            assert deleted.status_code in (204, 504)
        finally:
            node.thaw()
        await instance.subscribe(name)
        await verify.produce(node.bootstrap, name, [b"y"])
        seen: list[int] = []
        await read_on(instance, seen, 3)
        # The auto commit may not have come through.
        assert seen in ([3], [0, 1, 2, 3])
    assert_no_traceback(proxy.log)
