"""
Which broker the tests run on: the first rung that holds.

Rule 1: the order is external, testcontainers, apache, embedded. Source: ARCHITECTURE.md, "Brokers".
Rule 2: a rung that does not hold is left within a minute, and a line says why.
Rule 3: `TEST_BROKER` forces a rung: nothing else is tried, and it may take its time.
A forced rung that is not to be had is an error, never a reason to take another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType

from tests.brokers.broker import Broker, RungUnavailable
from tests.brokers.rungs import use_apache, use_embedded, use_external, use_testcontainers
from tests.brokers.verify import await_brokers

Rung = Callable[[float], Broker]
RUNGS: Mapping[str, Rung] = MappingProxyType(
    {
        "external": use_external,
        "testcontainers": use_testcontainers,
        "apache": use_apache,
        "embedded": use_embedded,
    }
)
FORCED_PATIENCE_S, PATIENCE_S = 600.0, 40.0


def climb(
    forced: str | None,
    say: Callable[[str], None],
    rungs: Mapping[str, Rung] = RUNGS,
    answer_timeout_s: float = 15,
) -> Broker:
    """
    The first broker that answers; `say` is told of each rung left.

    Raises: RungUnavailable when the forced one is not to be had, or none is
    """
    if forced is not None:
        if forced not in rungs:
            raise RungUnavailable(f"TEST_BROKER={forced}: choose one of {', '.join(rungs)}")
        try:
            return _take(rungs[forced], FORCED_PATIENCE_S, answer_timeout_s)
        except RungUnavailable as error:
            raise RungUnavailable(f"TEST_BROKER={forced}: {error}") from error
    for kind, rung in rungs.items():
        try:
            return _take(rung, PATIENCE_S, answer_timeout_s)
        except RungUnavailable as error:
            say(f"test broker: not {kind}: {error}")
    raise RungUnavailable("no test broker is to be had, see the lines above")


def _take(rung: Rung, patience_s: float, answer_timeout_s: float) -> Broker:
    broker = rung(patience_s)
    try:
        asyncio.run(await_brokers(broker.bootstrap, timeout_s=answer_timeout_s))
    except Exception as error:
        broker.stop()
        raise RungUnavailable(f"{broker.bootstrap} does not answer as Kafka does") from error
    except BaseException:
        broker.stop()
        raise
    return broker
