"""Topics that are not there, and requests that are refused before anything is sent."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from tests.api.produce_calls import (
    BINARY,
    JSON,
    TEXT,
    V2,
    assert_settled,
    failed,
    post,
    read,
    refusal,
)
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import ProxyFactory, TopicFactory

pytestmark = pytest.mark.anyio


async def test_an_unknown_topic(proxy_url: str, broker: Broker, name: str) -> None:
    """404 with 40401 at once, with an entry for each record; nothing is created."""
    begun = time.monotonic()
    response = await post(
        proxy_url, name, {"records": [{"value": 1}, {"value": 2, "partition": 3}]}
    )
    assert time.monotonic() - begun < 2
    message = f"Topic '{name}' not found."
    entry = failed(None, 40401, message)
    assert read(response) == (404, V2, refusal(40401, message, entry, entry))
    assert (
        await post(proxy_url, name, {"records": [{"value": 1}]}, partition=0)
    ).status_code == 404
    assert name not in await verify.list_topics(broker.bootstrap)


async def test_asking_creates_no_topic(
    start_proxy: ProxyFactory, broker: Broker, name: str
) -> None:
    """No GET creates one, not even where producing would."""
    proxy = start_proxy(auto_create_topics=True)
    paths = ("", "/partitions", "/partitions/0", "/partitions/0/offsets", "/partitions/0/records")
    async with httpx.AsyncClient(timeout=15) as client:
        for at, path in enumerate(paths):
            url = f"{proxy.url}/topics/{name}-{at}{path}?offset=0"
            response = await client.get(url, headers={"accept": "*/*"})
            assert (response.status_code, response.json()["error_code"]) == (404, 40401)
    assert not any(one.startswith(name) for one in await verify.list_topics(broker.bootstrap))


async def test_topics_are_created_where_that_is_on(
    start_proxy: ProxyFactory, broker: Broker, name: str
) -> None:
    """The first record makes the topic, also when somebody asks about it at the same moment."""
    proxy = start_proxy(auto_create_topics=True)
    async with httpx.AsyncClient() as client:
        asking = [
            asyncio.create_task(client.get(f"{proxy.url}/topics/{name}/partitions/0/offsets"))
            for _ in range(20)
        ]
        produced = await asyncio.gather(
            *(post(proxy.url, name, {"records": [{"value": at}]}) for at in range(5))
        )
        await asyncio.gather(*asking)
    assert [response.status_code for response in produced] == 5 * [200]
    stored = await verify.read_all(broker.bootstrap, name)
    assert sorted(record.value or b"" for record in stored) == [b"0", b"1", b"2", b"3", b"4"]
    await verify.delete_topics(broker.bootstrap, [name])
    await assert_settled(proxy)


@pytest.mark.parametrize(
    ("content_type", "bad", "message"),
    [
        (BINARY, b'{"value":"AQI"}', "$.records[1].value"),
        (BINARY, b'{"key":1}', "$.records[1].key"),
        (TEXT, b'{"value":7}', "$.records[1].value"),
        (JSON, b'{"value":1,"partition":-1}', "$.records[1].partition"),
        (JSON, b'{"value":1,"partition":2147483648}', "$.records[1].partition"),
        (JSON, b'{"value":1,"timestamp":-1}', "$.records[1].timestamp"),
        (JSON, b'{"value":1,"timestamp":9223372036854775808}', "$.records[1].timestamp"),
        (JSON, b'{"value":1,"timestamp":"yesterday"}', "$.records[1].timestamp"),
        (JSON, b'{"value":1,"headers":[{"key":"h","value":"?"}]}', "$.records[1].headers[0].value"),
        (JSON, b'{"value":1,"surprise":1}', "surprise at $.records[1]"),
    ],
)
async def test_one_bad_record_and_nothing_is_written(
    proxy_url: str,
    broker: Broker,
    topic: TopicFactory,
    content_type: str,
    bad: bytes,
    message: str,
) -> None:
    """422 that names the place; the good record before it is not sent."""
    name = await topic()
    response = await post(proxy_url, name, b'{"records":[{"key":null},%b]}' % bad, content_type)
    status, answer_type, body = read(response)
    assert (status, answer_type, body["error_code"]) == (422, V2, 422)
    assert message in body["message"]
    assert await verify.end_offsets(broker.bootstrap, name) == {0: 0}


async def test_malformed_json_is_not_written(
    proxy_url: str, broker: Broker, topic: TopicFactory
) -> None:
    """400 with the byte position, however many good records stand before it."""
    name = await topic()
    response = await post(proxy_url, name, b'{"records":[{"value":1},{"value":2},{"value":]}')
    status, answer_type, body = read(response)
    assert (status, answer_type, body["error_code"]) == (400, V2, 400)
    assert "byte 45" in body["message"]
    assert await verify.end_offsets(broker.bootstrap, name) == {0: 0}
