"""
What is private to aiokafka and used by our clients and producers: an upgrade that changes it fails
here. `test_aiokafka_contract.py` does the same for consumers.

`OWNERS` says for every private name whose it is. A name that `proxy/kafka/` uses and that neither
file knows fails, and one that its owner has no more, too.
"""

from __future__ import annotations

import ast
import inspect
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.producer.message_accumulator import BatchBuilder, MessageBatch
from aiokafka.producer.sender import Sender, SendProduceReqHandler
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.protocol.produce import ProduceRequest, ProduceRequest_v8
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from tests.brokers.broker import Broker

KAFKA = Path(__file__).parents[2] / "proxy" / "kafka"
CONSUMERS = Path(__file__).with_name("test_aiokafka_contract.py")

# Version 2, no compression, no transaction, no producer, no room.
EMPTY = (2, 0, 0, -1, -1, 0, 0)

# Private name -> those of `live` that have it.
OWNERS: dict[str, tuple[str, ...]] = {
    "_batches": ("accumulator", "attempt"),
    "_builder": ("batch",),
    "_can_retry": ("attempt",),
    "_client_id": ("client",),
    "_compression_type": ("accumulator",),
    "_connections_max_idle_ms": ("client",),
    "_do_commit_offsets": ("coordinator",),
    "_drain_waiter": ("batch",),
    "_fail_all": ("sender",),
    "_get_conn": ("client",),
    "_in_flight": ("sender",),
    "_message_accumulator": ("producer",),
    "_muted_partitions": ("sender",),
    "_pending_batches": ("accumulator",),
    "_relative_offset": ("builder",),
    "_request_timeout_ms": ("client",),
    "_sasl_mechanism": ("client",),
    "_sasl_oauth_token_provider": ("client",),
    "_sasl_plain_password": ("client",),
    "_sasl_plain_username": ("client",),
    "_security_protocol": ("client",),
    "_sender": ("producer", "attempt"),
    "_sequence_numbers": ("numbers",),
    "_set_producer_state": ("builder",),
    "_ssl_context": ("client",),
    "_timeout": ("request",),
    "_topics": ("client",),
    "_txn_manager": ("producer", "sender"),
}
# Methods that a class of ours replaces -> the parameters that aiokafka calls them with.
REPLACED: dict[Any, list[str]] = {
    AIOKafkaClient._metadata_update: ["self", "cluster_metadata", "topics"],
    BatchBuilder._set_producer_state: ["self", "producer_id", "producer_epoch", "base_sequence"],
    TransactionManager.increment_sequence_number: ["self", "tp", "increment"],
    Sender._fail_all: ["self", "task"],
    Sender._send_produce_req: ["self", "node_id", "batches"],
    SendProduceReqHandler.do: ["self", "node_id"],
    SendProduceReqHandler.create_request: ["self"],
    SendProduceReqHandler.handle_response: ["self", "response"],
    SendProduceReqHandler._can_retry: ["self", "error", "batch"],
    ProduceRequest.prepare: ["self", "versions"],
}


def foreign_private_names(source: str) -> set[str]:
    """The private names that a file uses and does not define itself."""
    used: set[str] = set()
    own: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            on_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            (own if on_self and isinstance(node.ctx, ast.Store) else used).add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            own.add(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            own |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in used - own if not name.endswith("__")}


@pytest.fixture
async def live(broker: Broker) -> AsyncIterator[dict[str, Any]]:
    """aiokafka's objects, at work."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, enable_idempotence=True)
    attempt: Any = SendProduceReqHandler
    batch: Any = MessageBatch
    await producer.start()
    builder = producer.create_batch()
    yield {
        "accumulator": producer._message_accumulator,
        "attempt": attempt(producer._sender, {}),
        "batch": batch(TopicPartition("t", 0), builder, 1, 0),
        "builder": builder,
        "client": producer.client,
        "coordinator": GroupCoordinator,
        "numbers": producer._txn_manager,
        "producer": producer,
        "request": attempt(producer._sender, {}).create_request(),
        "sender": producer._sender,
    }
    await producer.stop()


@pytest.mark.parametrize("path", sorted(KAFKA.glob("*.py")), ids=lambda path: path.name)
def test_every_private_name_is_known(path: Path) -> None:
    """What is used of aiokafka's inside is looked after, by this file or by the other."""
    names = foreign_private_names(path.read_text()) - set(OWNERS)
    unknown = {name for name in names if name not in CONSUMERS.read_text()}
    assert not unknown, f"whose are they? Say so in {Path(__file__).name} or {CONSUMERS.name}"


def test_the_table_has_no_more_than_is_used() -> None:
    """A name that nobody uses any more goes."""
    used = set().union(*(foreign_private_names(path.read_text()) for path in KAFKA.glob("*.py")))
    # Methods that our classes replace are defined by them, and so count as their own.
    assert set(OWNERS) - used - {method.__name__ for method in REPLACED} == set()


@pytest.mark.anyio
async def test_every_private_name_is_still_there(live: dict[str, Any]) -> None:
    """On the objects on which we use it."""
    missing = [
        f"{owner}.{name}"
        for name, owners in OWNERS.items()
        for owner in owners
        if not hasattr(live[owner], name)
    ]
    assert missing == []


def test_what_we_replace_is_called_as_before() -> None:
    """A method of ours that stands in for one of aiokafka's takes what aiokafka hands it."""
    for method, parameters in REPLACED.items():
        assert list(inspect.signature(method).parameters) == parameters, method


def test_version_8_of_a_produce_request_is_as_7() -> None:
    """We ask for it although aiokafka does not: the request must not have changed."""
    seven, eight = ProduceRequest._CLASSES[-1], ProduceRequest_v8
    assert (seven.API_VERSION, eight.API_VERSION) == (7, 8)
    assert eight.SCHEMA is seven.SCHEMA


@pytest.mark.anyio
async def test_what_we_hold_is_of_the_shape_that_we_use(live: dict[str, Any]) -> None:
    """Queues by partition, sets of batches and partitions, numbers by partition."""
    accumulator, sender, numbers = live["accumulator"], live["sender"], live["numbers"]
    assert accumulator._batches.default_factory is deque
    assert isinstance(accumulator._pending_batches, set)
    assert isinstance(sender._in_flight, set)
    assert isinstance(sender._muted_partitions, set)
    assert isinstance(live["client"]._topics, set)
    where = TopicPartition("t", 0)
    numbers.increment_sequence_number(where, 7)
    numbers.increment_sequence_number(where, -3)
    assert numbers.sequence_number(where) == 4
    assert not sender.sender_task.done()


@pytest.mark.anyio
async def test_a_batch_counts_the_bytes_that_the_broker_counts(live: dict[str, Any]) -> None:
    """Before and after it is closed; it takes what fits, and always one record."""
    builder: Any = BatchBuilder
    batch = builder(200, 0)
    assert batch.append(timestamp=None, key=None, value=b"x" * 500, headers=[]) is not None
    assert batch.append(timestamp=None, key=None, value=b"x", headers=[]) is None
    before = batch.size()
    assert before == len(batch._build()) == batch.size()
    ruler = DefaultRecordBatchBuilder(*EMPTY)
    assert ruler.size() + ruler.size_in_bytes(0, 0, None, b"x" * 500, []) == before


@pytest.mark.anyio
async def test_a_failed_batch_tells_those_who_wait_for_it(live: dict[str, Any]) -> None:
    """`failure` ends the future, and the one that waits for the batch to leave."""
    batch = live["batch"]
    batch.failure(RuntimeError("taken back"))
    for future in (batch.future, batch._drain_waiter):
        assert isinstance(future.exception(), RuntimeError)
