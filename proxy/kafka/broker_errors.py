"""
Kafka's error codes, and the one way by which aiokafka's exceptions become ours.

aiokafka 0.14 knows the codes up to 72, and 79; every newer one it reads as UNKNOWN (-1), which
would tell a client nothing. Importing this module fills its table, once.
Source: Kafka protocol guide, "Error Codes" (kafka 4.x, Errors.java).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiokafka.errors as kafka

from proxy.errors import (
    BrokersUnreachable,
    IllegalState,
    KafkaFailure,
    UnknownTopic,
)

UNKNOWN_SERVER_ERROR = -1
SASL_AUTHENTICATION_FAILED = 58

# code, name, retriable
NEWER_CODES: tuple[tuple[int, str, bool], ...] = (
    (73, "TOPIC_DELETION_DISABLED", False),
    (74, "FENCED_LEADER_EPOCH", True),
    (75, "UNKNOWN_LEADER_EPOCH", True),
    (76, "UNSUPPORTED_COMPRESSION_TYPE", False),
    (77, "STALE_BROKER_EPOCH", False),
    (78, "OFFSET_NOT_AVAILABLE", True),
    (80, "PREFERRED_LEADER_NOT_AVAILABLE", True),
    (81, "GROUP_MAX_SIZE_REACHED", False),
    (82, "FENCED_INSTANCE_ID", False),
    (83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", True),
    (84, "ELECTION_NOT_NEEDED", True),
    (85, "NO_REASSIGNMENT_IN_PROGRESS", False),
    (86, "GROUP_SUBSCRIBED_TO_TOPIC", False),
    (87, "INVALID_RECORD", False),
    (88, "UNSTABLE_OFFSET_COMMIT", True),
    (89, "THROTTLING_QUOTA_EXCEEDED", True),
    (90, "PRODUCER_FENCED", False),
    (91, "RESOURCE_NOT_FOUND", False),
    (92, "DUPLICATE_RESOURCE", False),
    (93, "UNACCEPTABLE_CREDENTIAL", False),
    (94, "INCONSISTENT_VOTER_SET", False),
    (95, "INVALID_UPDATE_VERSION", False),
    (96, "FEATURE_UPDATE_FAILED", False),
    (97, "PRINCIPAL_DESERIALIZATION_FAILURE", False),
    (98, "SNAPSHOT_NOT_FOUND", False),
    (99, "POSITION_OUT_OF_RANGE", False),
    (100, "UNKNOWN_TOPIC_ID", True),
    (101, "DUPLICATE_BROKER_REGISTRATION", False),
    (102, "BROKER_ID_NOT_REGISTERED", False),
    (103, "INCONSISTENT_TOPIC_ID", True),
    (104, "INCONSISTENT_CLUSTER_ID", False),
    (105, "TRANSACTIONAL_ID_NOT_FOUND", False),
    (106, "FETCH_SESSION_TOPIC_ID_ERROR", True),
    (107, "INELIGIBLE_REPLICA", False),
    (108, "NEW_LEADER_ELECTED", False),
    (109, "OFFSET_MOVED_TO_TIERED_STORAGE", False),
    (110, "FENCED_MEMBER_EPOCH", False),
    (111, "UNRELEASED_INSTANCE_ID", False),
    (112, "UNSUPPORTED_ASSIGNOR", False),
    (113, "STALE_MEMBER_EPOCH", False),
    (114, "MISMATCHED_ENDPOINT_TYPE", False),
    (115, "UNSUPPORTED_ENDPOINT_TYPE", False),
    (116, "UNKNOWN_CONTROLLER_ID", False),
    (117, "UNKNOWN_SUBSCRIPTION_ID", False),
    (118, "TELEMETRY_TOO_LARGE", False),
    (119, "INVALID_REGISTRATION", False),
    (120, "TRANSACTION_ABORTABLE", False),
    (121, "INVALID_RECORD_STATE", False),
    (122, "SHARE_SESSION_NOT_FOUND", True),
    (123, "INVALID_SHARE_SESSION_EPOCH", True),
    (124, "FENCED_STATE_EPOCH", False),
    (125, "INVALID_VOTER_KEY", False),
    (126, "DUPLICATE_VOTER", False),
    (127, "VOTER_NOT_FOUND", False),
    (128, "INVALID_REGULAR_EXPRESSION", False),
    (129, "REBOOTSTRAP_REQUIRED", False),
    (130, "STREAMS_INVALID_TOPOLOGY", False),
    (131, "STREAMS_INVALID_TOPOLOGY_EPOCH", False),
    (132, "STREAMS_TOPOLOGY_FENCED", False),
    (133, "SHARE_SESSION_LIMIT_REACHED", True),
    (134, "GROUP_DELETION_FAILED", False),
    (135, "STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED", False),
    (136, "CONTROLLER_ID_NOT_REGISTERED", False),
)

# Codes that aiokafka knows by a name that is not Kafka's: nobody would find it in a manual.
RENAMED_CODES = {
    -1: "UNKNOWN_SERVER_ERROR",
    0: "NONE",
    6: "NOT_LEADER_OR_FOLLOWER",
    10: "MESSAGE_TOO_LARGE",
    13: "NETWORK_EXCEPTION",
    17: "INVALID_TOPIC_EXCEPTION",
    39: "INVALID_REPLICA_ASSIGNMENT",
}


def fill_error_table() -> None:
    """Teach aiokafka the codes it lacks, and Kafka's names; one that it knows is left to it."""
    for code, name in RENAMED_CODES.items():
        kafka.kafka_errors[code].message = name
    for code, name, retriable in NEWER_CODES:
        if code not in kafka.kafka_errors:
            attributes = {"errno": code, "message": name, "description": name}
            error: Any = type(name, (kafka.BrokerResponseError,), attributes)
            error.retriable = retriable
            kafka.kafka_errors[code] = error


fill_error_table()


def failure_for_code(code: int, message: str = "") -> KafkaFailure:
    """The failure for a code of a response that we read ourselves."""
    error = kafka.for_code(code)
    return KafkaFailure(code, str(error.message), retriable=error.retriable, message=message)


def failure_of(exc: BaseException) -> Exception:
    """
    Our exception for one of aiokafka's.

    An error without a broker's code (no connection, no coordinator) means that nobody could be
    asked, or that the group moved on while we asked.
    """
    if isinstance(exc, kafka.UnknownTopicOrPartitionError) and exc.args:
        return UnknownTopic(str(exc.args[0]))
    if isinstance(exc, kafka.BrokerResponseError):
        return KafkaFailure(exc.errno, str(exc.message), retriable=exc.retriable)
    if isinstance(exc, kafka.CommitFailedError):
        return IllegalState(
            "The group has rebalanced and the partitions may belong to another member now."
        )
    if isinstance(exc, kafka.IllegalStateError):
        return IllegalState(str(exc))
    if isinstance(exc, kafka.AuthenticationFailedError):
        return failure_for_code(SASL_AUTHENTICATION_FAILED)
    if isinstance(exc, kafka.KafkaError | OSError | asyncio.TimeoutError):
        return BrokersUnreachable("The brokers cannot be reached.")
    return failure_for_code(UNKNOWN_SERVER_ERROR)


@contextmanager
def translated() -> Iterator[None]:
    """No aiokafka exception leaves this folder. Source: httpcore, `map_exceptions`."""
    try:
        yield
    except (TimeoutError, kafka.KafkaError, kafka.ConsumerStoppedError, OSError) as exc:
        raise failure_of(exc) from exc
