"""Brokers that hang, die and come back: what is told at the deadline, and what is in the log."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.api.produce_calls import (
    V2,
    answer,
    assert_quiet,
    assert_settled,
    connect,
    failed,
    get_metric,
    post,
    read,
    refusal,
    written,
)
from tests.brokers import verify
from tests.brokers.apache import ApacheKafka
from tests.brokers.proxy_process import ProxyProcess
from tests.conftest import ProxyFactory

pytestmark = pytest.mark.anyio

CARELESS = {"acks": "0", "enable_idempotence": False, "metadata_ttl_ms": 60_000}
UNKNOWN = "The deadline passed; whether the record was written is unknown."
NOT_SENT = "The deadline passed before the record could be sent."
AWAY = "The brokers cannot be reached."


async def produce_one(proxy: ProxyProcess, topic: str) -> int:
    """The status for one record."""
    return (await post(proxy.url, topic, {"records": [{"value": 1}]})).status_code


async def bring_back(kafka: ApacheKafka) -> None:
    """Start it again after `kill`, while the loop goes on."""
    # Here and not in the thread: a child ends with the thread that started it.
    kafka.launch()
    await asyncio.to_thread(kafka.await_listening)


async def test_a_broker_that_hangs(
    kafka: ApacheKafka, start_proxy: ProxyFactory, name: str
) -> None:
    """
    At the deadline: 504 for what is with the broker, 503 for what waits behind it. Once the broker
    goes on, the first is written after all, once, and the second is not.
    """
    await verify.create_topic(kafka.bootstrap, name)
    proxy = start_proxy(kafka.bootstrap, produce_timeout_ms=1000, metadata_ttl_ms=60_000)
    response = await post(proxy.url, name, {"records": [{"value": 0}]})
    assert read(response) == (200, V2, answer(written(0, 0)))
    kafka.freeze()
    try:
        begun = time.monotonic()
        first = asyncio.create_task(post(proxy.url, name, {"records": [{"value": "first"}]}))
        while await get_metric(proxy.url, "koh_in_flight_bytes") == 0:  # noqa: ASYNC110 (a gauge)
            await asyncio.sleep(0.01)
        second = await post(proxy.url, name, {"records": [{"value": "second"}]})
        assert 0.9 < time.monotonic() - begun < 2.5
        assert read(await first) == (504, V2, refusal(50401, UNKNOWN, failed(0, 50401, UNKNOWN)))
        assert read(second) == (503, V2, refusal(50003, NOT_SENT, failed(0, 50003, NOT_SENT)))
        assert second.headers["retry-after"] == "1"
    finally:
        kafka.thaw()
    response = await post(proxy.url, name, {"records": [{"value": "third"}]})
    assert read(response) == (200, V2, answer(written(0, 2)))
    stored = await verify.read_all(kafka.bootstrap, name)
    assert [record.value for record in stored] == [b"0", b'"first"', b'"third"']
    await assert_settled(proxy)


async def test_a_broker_that_hangs_and_a_topic_not_asked_for_yet(
    kafka: ApacheKafka, start_proxy: ProxyFactory, name: str
) -> None:
    """Nothing was sent, so 503, at the deadline and not at the look-up's own."""
    proxy = start_proxy(kafka.bootstrap, produce_timeout_ms=500)
    kafka.freeze()
    try:
        begun = time.monotonic()
        response = await post(proxy.url, name, {"records": [{"value": 1}]})
        assert 0.4 < time.monotonic() - begun < 2
        status, content_type, body = read(response)
        assert (status, content_type, body["error_code"]) == (503, V2, 50302)
        assert [entry["error_code"] for entry in body["offsets"]] == [50302]
    finally:
        kafka.thaw()
    assert (await post(proxy.url, name, {"records": [{"value": 1}]})).status_code == 404
    await assert_settled(proxy)


async def test_a_broker_that_dies_and_returns(
    kafka: ApacheKafka, start_proxy: ProxyFactory, name: str
) -> None:
    """503 while it is away, as nothing can be sent; what was refused so never appears later."""
    await verify.create_topic(kafka.bootstrap, name)
    # Its records may be lost, but it goes on, too.
    careless = start_proxy(kafka.bootstrap, produce_timeout_ms=500, **CARELESS)
    await verify.create_topic(kafka.bootstrap, f"{name}-careless")
    assert await produce_one(careless, f"{name}-careless") == 200
    proxy = start_proxy(kafka.bootstrap, produce_timeout_ms=1000, metadata_ttl_ms=60_000)
    assert (await post(proxy.url, name, {"records": [{"value": 0}]})).status_code == 200
    kafka.kill()
    # The first may still go into a connection of which nobody knows yet that it is dead.
    await post(proxy.url, name, {"records": [{"value": "perhaps"}]})
    responses = await asyncio.gather(
        *(post(proxy.url, name, {"records": [{"value": at}]}) for at in range(1, 9))
    )
    assert await produce_one(careless, f"{name}-careless") in (200, 503, 504)
    assert await produce_one(careless, f"{name}-careless") in (503, 504)
    for response in responses:
        assert response.status_code == 503, response.text
        assert response.json()["offsets"][0]["error_code"] in (50302, 50003)
    await assert_settled(proxy)
    await bring_back(kafka)
    async with asyncio.timeout(10):
        while (await post(proxy.url, name, {"records": [{"value": "back"}]})).status_code != 200:
            pass
        while await produce_one(careless, f"{name}-careless") != 200:
            pass
    await assert_settled(careless)
    values = [record.value for record in await verify.read_all(kafka.bootstrap, name)]
    assert values[0] == b"0" and values[-1] == b'"back"'
    assert set(values[1:-1]) <= {b'"perhaps"'}
    await assert_settled(proxy)


async def test_a_broker_that_dies_under_load(
    kafka: ApacheKafka, start_proxy: ProxyFactory, name: str
) -> None:
    """Every acknowledged record is there once, at the offset that was told, in order per key."""
    await verify.create_topic(kafka.bootstrap, name, partitions=3)
    proxy = start_proxy(kafka.bootstrap, produce_timeout_ms=1500, metadata_ttl_ms=60_000)
    told: dict[bytes, tuple[int, int]] = {}
    returned = asyncio.Event()

    async def send(client: int) -> None:
        """Go on until some were acknowledged after the return."""
        acknowledged = 0
        async with connect(proxy.url) as connection:
            for at in range(100_000):
                value = f"{client}-{at}"
                status, body = await connection.produce(name, [{"key": client, "value": value}])
                assert status in (200, 503, 504), body
                if status == 200:
                    entry = body["offsets"][0]
                    told[b'"%b"' % value.encode()] = (entry["partition"], entry["offset"])
                    acknowledged += returned.is_set()
                if acknowledged == 10:
                    return

    clients = [asyncio.create_task(send(client)) for client in range(16)]
    while len(told) < 300:  # noqa: ASYNC110 (a count)
        await asyncio.sleep(0.01)
    kafka.kill()
    await bring_back(kafka)
    returned.set()
    await asyncio.gather(*clients)
    stored = await verify.read_all(kafka.bootstrap, name)
    values = [record.value for record in stored]
    assert len(set(values)) == len(values)
    places = {record.value: (record.partition, record.offset) for record in stored}
    assert {value: places.get(value) for value in told} == told
    for client in range(16):
        own = [record.value or b"" for record in stored if record.key == b"%d" % client]
        numbers = [int(value.strip(b'"').split(b"-")[1]) for value in own]
        assert numbers == sorted(numbers)
    await assert_settled(proxy)


async def test_stopping_while_a_broker_hangs(
    kafka: ApacheKafka, start_proxy: ProxyFactory, name: str
) -> None:
    """SIGTERM ends the proxy in its time: 504 for what hangs, 503 for what waits behind it."""
    await verify.create_topic(kafka.bootstrap, name)
    proxy = start_proxy(kafka.bootstrap, metadata_ttl_ms=60_000, shutdown_timeout_ms=2000)
    unknown = "The service went down; whether the record was written is unknown."
    not_sent = "The service went down before the record could be sent."
    assert (await post(proxy.url, name, {"records": [{"value": 0}]})).status_code == 200
    kafka.freeze()
    try:
        hanging = asyncio.create_task(post(proxy.url, name, {"records": [{"value": 1}]}))
        while await get_metric(proxy.url, "koh_in_flight_bytes") == 0:  # noqa: ASYNC110 (a gauge)
            await asyncio.sleep(0.01)
        alone = await get_metric(proxy.url, "koh_in_flight_bytes")
        waiting = asyncio.create_task(post(proxy.url, name, {"records": [{"value": 2}]}))
        while await get_metric(proxy.url, "koh_in_flight_bytes") == alone:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        log = proxy.log
        stopping = asyncio.create_task(asyncio.to_thread(proxy.child.stop, 10))
        assert read(await hanging) == (504, V2, refusal(50401, unknown, failed(0, 50401, unknown)))
        assert read(await waiting) == (
            503,
            V2,
            refusal(50003, not_sent, failed(0, 50003, not_sent)),
        )
        assert await stopping == 0
        assert log.exists()
        assert_quiet(proxy)
    finally:
        kafka.thaw()
