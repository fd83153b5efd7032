"""
A batch on its way, and the attempts that aiokafka makes to deliver it.

Rule 1: a batch that has surely not been written comes back to its lane at the first refusal.
aiokafka alone would repeat it for ever, with numbers that bind its producer, and at the deadline
nobody could tell whether it is written. It repeats only what may have been written, which must
have the same numbers.
Rule 2: what a broker says of single records is kept; aiokafka throws it away.
Rule 3: no request is larger than a broker takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiokafka.errors as kafka
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.producer.sender import Sender, SendProduceReqHandler
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.protocol.produce import ProduceRequest, ProduceRequest_v8

from proxy.model import TopicPartition

# With these a broker says no before it writes. Not so UNKNOWN_TOPIC_OR_PARTITION (3) and
# NOT_LEADER_OR_FOLLOWER (6): a leader that is replaced while it waits for the replicas says so too,
# and has written. Source: kafka, ReplicaManager.appendRecords, DelayedProduce.tryComplete,
# UnifiedLog.append; protocol guide, "Error Codes".
CODES_OF_NOTHING_WRITTEN = frozenset(
    {
        2,  # CORRUPT_MESSAGE
        5,  # LEADER_NOT_AVAILABLE
        10,  # MESSAGE_TOO_LARGE
        17,  # INVALID_TOPIC_EXCEPTION
        18,  # RECORD_LIST_TOO_LARGE
        19,  # NOT_ENOUGH_REPLICAS
        21,  # INVALID_REQUIRED_ACKS
        29,  # TOPIC_AUTHORIZATION_FAILED
        31,  # CLUSTER_AUTHORIZATION_FAILED
        32,  # INVALID_TIMESTAMP
        35,  # UNSUPPORTED_VERSION
        42,  # INVALID_REQUEST
        43,  # UNSUPPORTED_FOR_MESSAGE_FORMAT
        44,  # POLICY_VIOLATION
        45,  # OUT_OF_ORDER_SEQUENCE_NUMBER
        47,  # INVALID_PRODUCER_EPOCH
        59,  # UNKNOWN_PRODUCER_ID
        76,  # UNSUPPORTED_COMPRESSION_TYPE
        87,  # INVALID_RECORD
        89,  # THROTTLING_QUOTA_EXCEEDED
    }
)
# A broker closes the connection at a request of more than socket.request.max.bytes, 100 MiB by
# default, and aiokafka would send it again for ever: it puts a batch of each partition into one.
MAX_REQUEST_BYTES = 32 * 1024 * 1024
# How long a broker may wait for the replicas of one partition before it answers for all. It reads
# nothing else from us meanwhile: a partition that was deleted just then held up those of every
# topic for request_timeout_ms. What is not answered for is repeated, which needs numbers.
REPLICAS_TIMEOUT_MS = 5_000


class Batch(BatchBuilder):
    """
    A batch, and what is known of it. `record_errors` are a broker's words on some of its records,
    by their index.
    """

    def __init__(self, limit_bytes: int, compression: int) -> None:
        inherited: Any = super()
        inherited.__init__(limit_bytes, compression)
        self.maybe_written = False
        self.numbered = False
        self.record_errors: dict[int, str] = {}

    @property
    def records(self) -> int:
        """How many it has."""
        count: int = self._relative_offset
        return count

    def _set_producer_state(
        self, producer_id: int, producer_epoch: int, base_sequence: int
    ) -> None:
        self.numbered = True
        inherited: Any = super()
        inherited._set_producer_state(producer_id, producer_epoch, base_sequence)


class Numbers(TransactionManager):
    """
    The numbers of batches, which go on with 0 after 2^31 records to a partition; aiokafka's become
    negative, and the broker refuses them as INVALID_RECORD from then on.

    Source: kafka, DefaultRecordBatch.incrementSequence
    """

    def increment_sequence_number(self, tp: Any, increment: int) -> None:
        """As aiokafka's; negative to take numbers back."""
        self._sequence_numbers[tp] = (self._sequence_numbers[tp] + increment) % 2**31


class ProduceUpTo8(ProduceRequest):
    """aiokafka has version 8, whose answers speak of single records, but does not ask for it."""

    def prepare(self, versions: dict[int, tuple[int, int]]) -> Any:
        """As aiokafka's."""
        least, most = versions.get(self.API_KEY, (0, 0))
        if least <= 8 <= most:
            known: Any = ProduceRequest_v8
            return self.build(known)
        return super().prepare(versions)


class Attempt(SendProduceReqHandler):
    """One request with batches of several partitions to one broker."""

    def create_request(self) -> ProduceUpTo8:
        """As aiokafka's."""
        inherited: Any = super()
        request = inherited.create_request()
        request.__class__ = ProduceUpTo8
        if self._sender._txn_manager is not None:
            request._timeout = min(request._timeout, REPLICAS_TIMEOUT_MS)
        return request  # type: ignore[no-any-return]

    async def do(self, node_id: int) -> None:
        """As aiokafka's."""
        self._before = {where: _ours(batch).maybe_written for where, batch in self._batches.items()}
        for batch in self._batches.values():
            _ours(batch).maybe_written = True
        try:
            inherited: Any = super()
            await inherited.do(node_id)
        except OSError as exc:
            # With acks=0 aiokafka waits for the socket only, and would die of what that says.
            for batch in self._batches.values():
                batch.failure(kafka.KafkaConnectionError(str(exc)))

    def handle_response(self, response: Any) -> None:
        """As aiokafka's, but it looks at what it drops: Produce v8, KIP-467."""
        for topic, partitions in response.topics:
            for partition, _, *more in partitions:
                batch = self._batches.get(TopicPartition(topic, partition))
                if batch is not None and len(more) > 4:
                    errors, summary = more[3], more[4]
                    _ours(batch).record_errors = {
                        index: text or summary or "" for index, text in errors or ()
                    }
        inherited: Any = super()
        inherited.handle_response(response)

    def _can_retry(self, error: Exception, batch: Any) -> bool:
        if is_nothing_written(error):
            _ours(batch).maybe_written = self._before[batch.tp]
            if not _ours(batch).maybe_written:
                return False
        inherited: Any = super()
        return bool(inherited._can_retry(error, batch))


class AttemptingSender(Sender):
    """aiokafka's sender with attempts of ours."""

    def _fail_all(self, task: Any) -> None:
        """
        Left to `Generation.give_up`: aiokafka's own trips over a transaction that there is not.
        """

    async def _send_produce_req(self, node_id: int, batches: dict[Any, Any]) -> None:
        for part in _parts(batches):
            attempt: Any = Attempt
            await attempt(self, part).do(node_id)
        self._in_flight.remove(node_id)
        for where in batches:
            self._muted_partitions.remove(where)


def is_nothing_written(error: BaseException) -> bool:
    """Whether an attempt that failed so has surely written nothing."""
    if isinstance(error, kafka.BrokerResponseError):
        return error.errno in CODES_OF_NOTHING_WRITTEN
    # There was no connection to send it on.
    return isinstance(error, kafka.NodeNotReadyError)


def _parts(batches: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
    part: dict[Any, Any] = {}
    size = 0
    for where, batch in batches.items():
        batch_size: int = batch._builder.size()
        if part and size + batch_size > MAX_REQUEST_BYTES:
            yield part
            part, size = {}, 0
        part[where] = batch
        size += batch_size
    yield part


def _ours(batch: Any) -> Batch:
    builder: Batch = batch._builder
    return builder
