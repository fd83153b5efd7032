"""
The references without HTTP: aiokafka alone, in a process of its own.

Run as a process: `native_load.py produce|fetch …`; prints one line of JSON: count, seconds, cpu_s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

BATCH_BYTES = 1 << 20


async def produce(given: argparse.Namespace) -> int:
    """`send_batch` of the same records, a batch for each partition on its way, for so long."""
    producer = AIOKafkaProducer(
        bootstrap_servers=given.bootstrap,
        acks="all",
        enable_idempotence=True,
        max_batch_size=BATCH_BYTES,
    )
    await producer.start()
    given.begun = time.perf_counter()
    value = b"x" * given.size
    deadline = time.monotonic() + given.seconds

    async def lane(partition: int) -> int:
        sent = 0
        while time.monotonic() < deadline:
            batch = producer.create_batch()
            while (
                batch.record_count() < given.batch
                and batch.append(key=None, value=value, timestamp=None) is not None
            ):
                pass
            sent += batch.record_count()
            await (await producer.send_batch(batch, given.topic, partition=partition))
        return sent

    try:
        return sum(await asyncio.gather(*map(lane, range(given.partitions))))
    finally:
        await producer.stop()


async def fetch(given: argparse.Namespace) -> int:
    """`getmany` from the beginning until so many records have come."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=given.bootstrap,
        auto_offset_reset="earliest",
        fetch_max_bytes=4 << 20,
        max_partition_fetch_bytes=1 << 20,
    )
    await consumer.start()
    consumer.assign([TopicPartition(given.topic, at) for at in range(given.partitions)])
    given.begun = time.perf_counter()
    found = 0
    try:
        while found < given.records:
            batches = await consumer.getmany(timeout_ms=1000)
            found += sum(map(len, batches.values()))
        return found
    finally:
        await consumer.stop()


def main() -> None:
    """Run one of them and print what it did."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("produce", "fetch"))
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--batch", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--records", type=int, default=0)
    given = parser.parse_args()
    count = uvloop.run({"produce": produce, "fetch": fetch}[given.what](given))
    seconds = time.perf_counter() - given.begun
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = usage.ru_utime + usage.ru_stime
    print(json.dumps({"count": count, "seconds": seconds, "cpu_s": cpu_s}))  # noqa: T201


if __name__ == "__main__":
    main()
