"""
Everything that can go wrong, as values and exceptions that carry no HTTP.

`wire/` raises `ApiError`, whose code is the contract's. `kafka/` raises the rest; the one place
that makes HTTP of them is `api/error_responses.py`.
"""

from __future__ import annotations


class ApiError(Exception):
    """A refusal in the contract's own terms. Source: CONTRACT.md section 6."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class KafkaFailure(Exception):
    """
    A broker's answer that is an error. `code` and `name` are Kafka's (protocol guide, "Error
    Codes").
    """

    def __init__(self, code: int, name: str, *, retriable: bool, message: str = "") -> None:
        super().__init__(message or name)
        self.code = code
        self.name = name
        self.retriable = retriable
        self.message = message or name


class BrokersUnreachable(Exception):
    """No broker could be asked; nothing was done."""


class NotWritten(Exception):
    """The deadline passed before the records left this process: surely not written."""


class OutcomeUnknown(Exception):
    """The deadline passed while the work was with the broker: it may still happen."""


class Overloaded(Exception):
    """A budget of ours is used up, or we are draining; try again after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RecordTooLarge(Exception):
    """A record is larger than its topic takes; it was not sent."""


class UnknownTopic(Exception):
    def __init__(self, topic: str) -> None:
        super().__init__(f"Topic '{topic}' not found.")
        self.topic = topic


class UnknownPartition(Exception):
    def __init__(self, topic: str, partition: int) -> None:
        super().__init__(f"Partition {partition} of topic '{topic}' not found.")
        self.topic = topic
        self.partition = partition


class OffsetOutOfRange(Exception):
    """`beginning` is the first offset there is, `end` the one that the next record will get."""

    def __init__(self, topic: str, partition: int, offset: int, beginning: int, end: int) -> None:
        super().__init__(
            f"offset_out_of_range: offset {offset} of {topic}-{partition} is not within "
            f"the valid range {beginning} to {end}"
        )


class UnknownInstance(Exception):
    def __init__(self) -> None:
        super().__init__("Consumer instance not found.")


class InstanceExists(Exception):
    def __init__(self) -> None:
        super().__init__(
            "Consumer with specified consumer ID already exists in the specified consumer group."
        )


class IllegalState(Exception):
    """The instance cannot do this now, for example seek in a partition that it does not have."""


class UndecodableRecord(Exception):
    """
    A stored record that is not what the asked format needs. It stays at the head of its partition.
    """

    def __init__(self, topic: str, partition: int, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.reason = reason
