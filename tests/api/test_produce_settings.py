"""Producing with other settings: acks, idempotence, compression."""

from __future__ import annotations

import pytest

from tests.api.produce_calls import TEXT, V2, answer, assert_settled, post, read, written
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import ProxyFactory, TopicFactory

pytestmark = pytest.mark.anyio

VALUES = [f"{at} {'x' * 200}" for at in range(300)]


@pytest.mark.parametrize(
    "settings",
    [
        {"acks": "all", "enable_idempotence": False},
        {"acks": "1", "enable_idempotence": False},
        pytest.param({"acks": "0", "enable_idempotence": False}, marks=pytest.mark.needs("acks_0")),
        *({"compression_type": codec} for codec in ("gzip", "snappy", "lz4", "zstd")),
    ],
    ids=str,
)
async def test_records_are_written(
    start_proxy: ProxyFactory,
    broker: Broker,
    topic: TopicFactory,
    settings: dict[str, object],
) -> None:
    """Whole and in order over several batches; with acks=0 Kafka tells no offsets."""
    name = await topic()
    proxy = start_proxy(max_batch_bytes=20_000, **settings)
    half = len(VALUES) // 2
    for first in (0, half):
        records = [{"value": value} for value in VALUES[first : first + half]]
        response = await post(proxy.url, name, {"records": records}, TEXT)
        told = [None if settings.get("acks") == "0" else first + at for at in range(half)]
        assert read(response) == (200, V2, answer(*(written(0, offset) for offset in told)))
    while (await verify.end_offsets(broker.bootstrap, name))[0] < len(VALUES):
        assert settings.get("acks") == "0"
    stored = await verify.read_all(broker.bootstrap, name)
    assert [record.value for record in stored] == [value.encode() for value in VALUES]
    await assert_settled(proxy)
