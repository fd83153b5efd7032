"""What keeps an instance out of its group for good, of what aiokafka says of it."""

from __future__ import annotations

import re

import aiokafka.errors as kafka

from proxy.kafka.broker_errors import UNKNOWN_SERVER_ERROR, failure_for_code, failure_of

_CLASS_NAME = re.compile(r"(\w+)\(")


def failure_of_joining(exc: Exception) -> Exception | None:
    """
    The failure to tell clients; None for what passes, such as a connection that was lost.

    aiokafka wraps what it did not expect, GROUP_MAX_SIZE_REACHED for one, in an error that has the
    name in its text alone.
    """
    if type(exc) is not kafka.KafkaError:
        passes = isinstance(exc, kafka.KafkaError) and exc.retriable
        return None if passes else failure_of(exc)
    for name in _CLASS_NAME.findall(str(exc)):
        for code, error in kafka.kafka_errors.items():
            if error.__name__ == name and code > 0:
                return failure_of_joining(error())
    return failure_for_code(
        UNKNOWN_SERVER_ERROR,
        "UNKNOWN_SERVER_ERROR: the instance cannot be a member of its group.",
    )
