"""Many clients at once: every acknowledged record is in the log, once, where it was told."""

from __future__ import annotations

import asyncio

import pytest

from tests.api.produce_calls import assert_quiet, assert_settled, connect
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import ProxyFactory, TopicFactory

pytestmark = pytest.mark.anyio

CLIENTS = 64
REQUESTS = 25

Place = tuple[int, int]


async def send_sequences(
    url: str, topic: str, client: int, told: dict[bytes, Place], requests: int
) -> int:
    """One after the other, two records each, on one connection; how many were answered with 200."""
    async with connect(url) as connection:
        for at in range(requests):
            values = [f"{client}-{at}-{half}" for half in range(2)]
            try:
                status, body = await connection.produce(
                    topic, [{"key": client, "value": value} for value in values]
                )
            except (ConnectionError, asyncio.IncompleteReadError):
                return at
            if status != 200:
                assert status == 503 and body["error_code"] == 50304, body
                return at
            for value, entry in zip(values, body["offsets"], strict=True):
                assert entry["error_code"] is None
                told[b'"%b"' % value.encode()] = (entry["partition"], entry["offset"])
    return requests


async def assert_written(
    bootstrap: str, topic: str, told: dict[bytes, Place]
) -> dict[bytes | None, list[bytes | None]]:
    """All that was told is there, once; the values of each key, in order."""
    stored = await verify.read_all(bootstrap, topic)
    places = {record.value: (record.partition, record.offset) for record in stored}
    assert len(places) == len(stored)
    assert {value: places.get(value) for value in told} == told
    values: dict[bytes | None, list[bytes | None]] = {}
    for record in stored:
        values.setdefault(record.key, []).append(record.value)
    return values


async def test_64_connections(
    start_proxy: ProxyFactory, broker: Broker, topic: TopicFactory
) -> None:
    """The sequence of each is whole and in order, at the offsets that were told."""
    name = await topic(partitions=5)
    proxy = start_proxy()
    told: dict[bytes, Place] = {}
    done = await asyncio.gather(
        *(send_sequences(proxy.url, name, client, told, REQUESTS) for client in range(CLIENTS))
    )
    assert done == CLIENTS * [REQUESTS]
    values = await assert_written(broker.bootstrap, name, told)
    assert values == {
        b"%d" % client: [b'"%d-%d-%d"' % (client, at // 2, at % 2) for at in range(2 * REQUESTS)]
        for client in range(CLIENTS)
    }
    await assert_settled(proxy)


async def test_sigterm_under_load(
    start_proxy: ProxyFactory, broker: Broker, topic: TopicFactory
) -> None:
    """What was acknowledged before the end is written; the process ends with 0."""
    name = await topic(partitions=5)
    proxy = start_proxy()
    told: dict[bytes, Place] = {}
    clients = [
        asyncio.create_task(send_sequences(proxy.url, name, client, told, 100_000))
        for client in range(CLIENTS)
    ]
    while len(told) < 1000:  # noqa: ASYNC110 (a count)
        await asyncio.sleep(0.01)
    code = await asyncio.to_thread(proxy.child.stop, 10)
    assert code == 0
    await asyncio.gather(*clients)
    assert_quiet(proxy)
    values = await assert_written(broker.bootstrap, name, told)
    for client in range(CLIENTS):
        own = [value for value in values[b"%d" % client] if value is not None]
        expected = [b'"%d-%d-%d"' % (client, at // 2, at % 2) for at in range(len(own))]
        assert own == expected
