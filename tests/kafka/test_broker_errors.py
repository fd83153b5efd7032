"""
Kafka's error codes, against Kafka's own table.

`kafka_errors.txt` comes from `PrintErrors.java`, run against kafka-clients 4.4.0.
"""

from __future__ import annotations

from pathlib import Path

import aiokafka.errors as kafka
import pytest

from proxy.errors import BrokersUnreachable, KafkaFailure, UnknownTopic
from proxy.kafka.broker_errors import failure_for_code, failure_of, translated

LINES = Path(__file__).with_name("kafka_errors.txt").read_text().splitlines()[1:]
# aiokafka's own loops go by this flag too, so it stays as they have it: with each of these it gives
# up where Java tries again.
FLAG_LEFT_TO_AIOKAFKA = {2, 9, 13, 51, 70, 71, 72}


@pytest.mark.parametrize("line", LINES)
def test_every_code_has_kafkas_name(line: str) -> None:
    """A code is told by the name that Kafka's manual has, and is as retriable as Java says."""
    code, name, retriable = line.split()
    failure = failure_for_code(int(code))
    assert (failure.code, failure.name) == (int(code), name)
    assert failure.retriable == (retriable == "true") or int(code) in FLAG_LEFT_TO_AIOKAFKA


def test_a_broker_of_tomorrow() -> None:
    """A code that nobody knows yet is an error without a name of its own, not an exception."""
    assert failure_for_code(12_345).name == "UNKNOWN_SERVER_ERROR"


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (kafka.UnknownTopicOrPartitionError("t"), UnknownTopic),
        (kafka.UnknownTopicOrPartitionError(), KafkaFailure),
        (kafka.NodeNotReadyError(), BrokersUnreachable),
        (kafka.KafkaTimeoutError(), BrokersUnreachable),
        (TimeoutError(), BrokersUnreachable),
        (ConnectionRefusedError(), BrokersUnreachable),
        (kafka.SaslAuthenticationFailed(), KafkaFailure),
    ],
)
def test_no_exception_of_aiokafka_leaves(raised: Exception, told: type[Exception]) -> None:
    """It becomes one of ours."""
    assert type(failure_of(raised)) is told
    with pytest.raises(told), translated():
        raise raised
