"""
What is measured: each case beside its reference, on the same broker, in the same run.

A case gives one figure a round (requests, records or bytes a second) and what the proxy's process
spent on it. `to_reach` is the share of the reference that we hold ourselves to.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from bench import http_load
from bench.processes import ROOT, Served, bare_server
from proxy.kafka.admin import create_topic

JSON = "application/vnd.kafka.json.v2+json"
BINARY = "application/vnd.kafka.binary.v2+json"
PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One round: how many of `unit` a second, and CPU seconds of the measured process per million.
    """

    per_second: float
    cpu_s_per_million: float


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a run takes place."""

    bootstrap: str
    proxy: Served
    seconds: int

    def new_topic(self) -> str:
        """A fresh topic of four partitions."""
        name = f"bench-{uuid.uuid4().hex[:8]}"
        asyncio.run(create_topic(self.bootstrap, name, PARTITIONS))
        return name

    def native(self, *arguments: str) -> Figure:
        """A run of `native_load.py`."""
        command = [sys.executable, "-m", "bench.native_load", *arguments]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        done = json.loads(told)
        return Figure(done["count"] / done["seconds"], done["cpu_s"] / done["count"] * 1e6)


@dataclass(frozen=True, slots=True)
class Case:
    """A name, its unit, what to reach, and the two sides; each is called once a round."""

    name: str
    unit: str
    to_reach: float
    ours: Callable[[Bench], Figure]
    reference: Callable[[Bench], Figure]
    reference_name: str


def value_json(size: int) -> bytes:
    """A JSON object of so many bytes."""
    text = b'{"id":1234567,"name":"somebody","text":"'
    return text + b"x" * (size - len(text) - 2) + b'"}'


def body_of(records: int, value: bytes) -> bytes:
    """A produce body with the same value in each record."""
    return b'{"records":[' + b",".join([b'{"value":' + value + b"}"] * records) + b"]}"


def produce(
    records: int, value: bytes, media_type: str, connections: int, unit_size: int
) -> Callable[[Bench], Figure]:
    """Our side of a produce case; a unit is a record, or a byte where `unit_size` says so."""

    def run(bench: Bench) -> Figure:
        url = f"{bench.proxy.url}/topics/{bench.new_topic()}"
        body = body_of(records, value)
        http_load.post(url, body, media_type, connections, 1)
        before = bench.proxy.cpu_s
        rate = http_load.post(url, body, media_type, connections, bench.seconds)
        count = rate.count * records * unit_size
        return Figure(count / rate.seconds, (bench.proxy.cpu_s - before) / count * 1e6)

    return run


def produce_bare(body: bytes, answer_bytes: int, connections: int) -> Callable[[Bench], Figure]:
    """The same requests to a server that does nothing with them."""

    def run(bench: Bench) -> Figure:
        with bare_server(answer_bytes) as server:
            http_load.post(server.url, body, JSON, connections, 1)
            before = server.cpu_s
            rate = http_load.post(server.url, body, JSON, connections, bench.seconds)
            return Figure(rate.per_second, (server.cpu_s - before) / rate.count * 1e6)

    return run


def produce_native(size: int, batch: int, unit_size: int) -> Callable[[Bench], Figure]:
    """aiokafka's `send_batch` of records of that size."""

    def run(bench: Bench) -> Figure:
        figure = bench.native(
            "produce", "--bootstrap", bench.bootstrap, "--topic", bench.new_topic(),
            "--partitions", str(PARTITIONS), "--size", str(size), "--batch", str(batch),
            "--seconds", str(bench.seconds),
        )  # fmt: skip
        return Figure(figure.per_second * unit_size, figure.cpu_s_per_million / unit_size)

    return run


def filled_topic(bench: Bench, value: bytes, media_type: str, records: int) -> str:
    """A topic with so many records, written through the proxy."""
    topic = bench.new_topic()
    reader = http_load.Reader(bench.proxy.url)
    for _ in range(records // 1000):
        reader.post(f"/topics/{topic}", body_of(1000, value), media_type)
    reader.close()
    return topic


def fetch(value: bytes, media_type: str, records: int) -> Callable[[Bench], Figure]:
    """A group reads a topic from its beginning."""

    def run(bench: Bench) -> Figure:
        topic = filled_topic(bench, value, media_type, records)
        reader = http_load.Reader(bench.proxy.url)
        made = json.loads(reader.post(f"/consumers/{topic}", b"{}", JSON))
        base = made["base_uri"].removeprefix(bench.proxy.url)
        reader.post(f"{base}/subscription", json.dumps({"topics": [topic]}).encode(), JSON)
        before = bench.proxy.cpu_s
        path = f"{base}/records?timeout=1000&max_bytes=1048576"
        rate = http_load.read_all(bench.proxy.url, path, media_type, records)
        cpu_s = bench.proxy.cpu_s - before
        reader.delete(base)
        reader.close()
        return Figure(rate.per_second, cpu_s / rate.count * 1e6)

    return run


def fetch_native(value: bytes, media_type: str, records: int) -> Callable[[Bench], Figure]:
    """aiokafka's `getmany` of the same records."""

    def run(bench: Bench) -> Figure:
        topic = filled_topic(bench, value, media_type, records)
        return bench.native(
            "fetch", "--bootstrap", bench.bootstrap, "--topic", topic,
            "--partitions", str(PARTITIONS), "--records", str(records),
        )  # fmt: skip

    return run


SMALL = value_json(100)
KILOBYTE = b'"%s"' % base64.b64encode(b"\x00\xff" * 512)
MEGABYTE = b'"%s"' % base64.b64encode(b"\x00\xff" * 500_000)
# An answer for one record has about this size.
ANSWER_BYTES = 109

CASES = (
    Case(
        "produce, 1 record of 100 B a request, 32 connections", "requests", 0.55,
        produce(1, SMALL, JSON, 32, 1), produce_bare(body_of(1, SMALL), ANSWER_BYTES, 32),
        "bare ASGI app",
    ),
    Case(
        "produce, 100 records of 100 B a request, 16 connections", "records", 0.60,
        produce(100, SMALL, JSON, 16, 1), produce_native(100, 1_000_000, 1), "aiokafka send_batch",
    ),
    Case(
        "produce, 10,000 records of 100 B a request, 4 connections", "bytes", 0.60,
        produce(10_000, SMALL, JSON, 4, 100), produce_native(100, 1_000_000, 100),
        "aiokafka send_batch",
    ),
    Case(
        "produce, 1 KiB binary, 100 records a request", "bytes", 0.60,
        produce(100, KILOBYTE, BINARY, 16, 1024), produce_native(1024, 1_000_000, 1024),
        "aiokafka send_batch",
    ),
    Case(
        "produce, single records of 1 MB binary", "bytes", 0.60,
        produce(1, MEGABYTE, BINARY, 8, 1_000_000), produce_native(1_000_000, 1, 1_000_000),
        "aiokafka send_batch",
    ),
    Case(
        "fetch through a group, 100 B JSON", "records", 0.50,
        fetch(SMALL, JSON, 200_000), fetch_native(SMALL, JSON, 200_000), "aiokafka getmany",
    ),
    Case(
        "fetch through a group, 1 KiB binary", "records", 0.50,
        fetch(KILOBYTE, BINARY, 60_000), fetch_native(KILOBYTE, BINARY, 60_000), "aiokafka getmany",
    ),
)  # fmt: skip
