"""
The settings of a consumer instance: the body of `POST /consumers/{g}`.

Rule 1: a value may be typed or a string, `false` or `"false"`; null is as good as absent.
Rule 2: names mean one setting each; two names of one setting must agree.
Rule 3: what Kafka's own consumer would know is ignored by name, what nobody knows is refused.

Departs from Confluent: the defaults of `auto.offset.reset` (earliest), `auto.commit.enable` (false)
and `fetch.min.bytes` (1); 42204 for every bad value; the formats of key and value may differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import msgspec

from proxy.errors import ApiError
from proxy.model import Format
from proxy.wire.json_body import SPACE, decode
from proxy.wire.kafka_properties import CONSUMER_PROPERTIES
from proxy.wire.parameters import check_name, show_text

T = TypeVar("T")

OffsetReset = Literal["earliest", "latest", "none"]
IsolationLevel = Literal["read_uncommitted", "read_committed"]
Settings = dict[str, object]

_NAME = ("id", "name")  # Confluent: the deprecated `id` overrides `name`
_FORMAT, _KEY_FORMAT, _VALUE_FORMAT = "format", "key.format", "value.format"
_AUTO_OFFSET_RESET = ("auto.offset.reset",)
_AUTO_COMMIT = ("enable.auto.commit", "auto.commit.enable")
_FETCH_MIN_BYTES = ("fetch.min.bytes", "responseMinBytes")
_REQUEST_TIMEOUT = ("consumer.request.timeout.ms", "requestWaitMs")
_ISOLATION_LEVEL = ("isolation.level",)

_KNOWN = {_FORMAT, _KEY_FORMAT, _VALUE_FORMAT}.union(
    _NAME, _AUTO_OFFSET_RESET, _AUTO_COMMIT, _FETCH_MIN_BYTES, _REQUEST_TIMEOUT, _ISOLATION_LEVEL
)

# Confluent: -1 waits for the whole timeout; 10,000,000 is its own upper limit.
MAX_FETCH_MIN_BYTES = 10_000_000
_MAX_INT = 2**31 - 1

_INTEGER = re.compile(r"-?[0-9]{1,19}")

_decoder = msgspec.json.Decoder(dict[str, Any] | None)


@dataclass(frozen=True, slots=True)
class CreateInstance:
    """
    A consumer instance to be made. None: a name to be invented, a timeout as configured.

    `fetch_min_bytes` -1 waits for the whole timeout or `max_bytes`. `ignored` are the names of the
    Kafka consumer properties that were given and mean nothing here.
    """

    name: str | None = None
    key_format: Format = Format.BINARY
    value_format: Format = Format.BINARY
    auto_offset_reset: OffsetReset = "earliest"
    auto_commit: bool = False
    fetch_min_bytes: int = 1
    request_timeout_ms: int | None = None
    isolation_level: IsolationLevel = "read_uncommitted"
    ignored: tuple[str, ...] = ()


def parse_create(body: bytes) -> CreateInstance:
    """
    The settings of a new consumer instance; no body, `null` and `{}` give the defaults.

    Units: consumer.request.timeout.ms in ms, fetch.min.bytes in bytes
    Raises: ApiError 400 on malformed JSON; 422 on an unknown field or format; 42204 on a bad value;
    40002 on a bad name
    Source: CONTRACT.md section 4; Confluent `K/entities/v2/CreateConsumerInstanceRequest.java`
    """
    if not body.strip(SPACE):
        return CreateInstance()
    settings: Settings = decode(body, _decoder)[0] or {}
    for name in settings:
        if name not in _KNOWN and name not in CONSUMER_PROPERTIES:
            raise ApiError(422, f"Unrecognized field: {show_text(name)}")
    both = _read_format(settings, _FORMAT, Format.BINARY)
    return CreateInstance(
        name=_read_name(settings),
        key_format=_read_format(settings, _KEY_FORMAT, both),
        value_format=_read_format(settings, _VALUE_FORMAT, both),
        auto_offset_reset=_read(settings, _AUTO_OFFSET_RESET, "earliest", _to_offset_reset),
        auto_commit=_read(settings, _AUTO_COMMIT, False, _to_boolean),
        fetch_min_bytes=_read(settings, _FETCH_MIN_BYTES, 1, _to_fetch_min_bytes),
        request_timeout_ms=_read(settings, _REQUEST_TIMEOUT, None, _to_request_timeout_ms),
        isolation_level=_read(settings, _ISOLATION_LEVEL, "read_uncommitted", _to_isolation_level),
        ignored=tuple(name for name in settings if name not in _KNOWN),
    )


def _read_name(settings: Settings) -> str | None:
    for setting in _NAME:
        name = settings.get(setting)
        if name is None:
            continue
        if not isinstance(name, str):
            raise ApiError(422, f"$.{setting}: expected a string")
        return check_name(name, "name")
    return None


def _read_format(settings: Settings, setting: str, default: Format) -> Format:
    name = settings.get(setting)
    if name is None:
        return default
    try:
        return Format(str(name).lower())
    except ValueError as exc:
        raise ApiError(422, "Invalid format type.") from exc


def _read(
    settings: Settings, names: tuple[str, ...], default: T, convert: Callable[[str, object], T]
) -> T:
    given = [
        (name, convert(name, settings[name])) for name in names if settings.get(name) is not None
    ]
    if not given:
        return default
    (first, value), *others = given
    for name, other in others:
        if other != value:
            raise ApiError(
                42204, f"Invalid consumer configuration: {first} and {name} contradict each other."
            )
    return value


def _refuse_value(name: str, value: object, rule: str) -> ApiError:
    # Wording: Kafka, `org.apache.kafka.common.config.ConfigException`, as Confluent passes it on.
    shown = str(value).lower() if isinstance(value, bool) else show_text(str(value))
    return ApiError(
        42204,
        f"Invalid consumer configuration: Invalid value {shown} for configuration {name}: {rule}",
    )


def _to_boolean(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in ("true", "false"):
        raise _refuse_value(name, value, "Expected value to be either true or false")
    return word == "true"


def _to_integer(name: str, value: object, low: int, high: int) -> int:
    number = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        number = int(value)
    if number is None:
        raise _refuse_value(name, value, "Not a number of type INT")
    if number < low:
        raise _refuse_value(name, value, f"Value must be at least {low}")
    if number > high:
        raise _refuse_value(name, value, f"Value must be no more than {high}")
    return number


def _to_fetch_min_bytes(name: str, value: object) -> int:
    return _to_integer(name, value, -1, MAX_FETCH_MIN_BYTES)


def _to_request_timeout_ms(name: str, value: object) -> int:
    return _to_integer(name, value, 0, _MAX_INT)


def _to_offset_reset(name: str, value: object) -> OffsetReset:
    return _to_word(name, value, _OFFSET_RESETS)


def _to_isolation_level(name: str, value: object) -> IsolationLevel:
    return _to_word(name, value, _ISOLATION_LEVELS)


_OFFSET_RESETS: dict[str, OffsetReset] = {word: word for word in get_args(OffsetReset)}
_ISOLATION_LEVELS: dict[str, IsolationLevel] = {word: word for word in get_args(IsolationLevel)}


def _to_word(name: str, value: object, words: dict[str, T]) -> T:
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in words:
        raise _refuse_value(name, value, f"String must be one of: {', '.join(words)}")
    return words[word]
