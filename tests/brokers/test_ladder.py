"""Which rung is taken. The rungs here hand out the session's broker, or fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from proxy.dev.ports import pick_port
from tests.brokers.broker import Broker, RungUnavailable
from tests.brokers.ladder import RUNGS, Rung, climb


def refuse(_: float) -> Broker:
    """A rung that does not hold."""
    raise RungUnavailable("it rains")


def offer(kind: str, bootstrap: str, stop: Callable[[], None] = lambda: None) -> Rung:
    """A rung that holds."""
    return lambda _: Broker(kind, kind, bootstrap, stop=stop)


def test_the_order_is_as_documented() -> None:
    """What was named comes first, what is nearest to production next, the embedded broker last."""
    assert list(RUNGS) == ["external", "testcontainers", "apache", "embedded"]


def test_a_rung_that_does_not_hold_is_left_with_a_line(broker: Broker) -> None:
    """The next one is taken, those after it are not tried, and the line says why."""
    said: list[str] = []
    rungs: Mapping[str, Rung] = {
        "a": refuse,
        "b": offer("b", broker.bootstrap),
        "c": lambda _: pytest.fail("tried a rung too many"),
    }
    assert climb(None, said.append, rungs).kind == "b"
    assert said == ["test broker: not a: it rains"]


def test_a_broker_that_does_not_answer_is_stopped_and_left(broker: Broker) -> None:
    """An address where nobody listens is no broker, whoever names it."""
    said: list[str] = []
    stopped: list[str] = []
    nobody = f"127.0.0.1:{pick_port()}"
    rungs = {
        "a": offer("a", nobody, lambda: stopped.append("a")),
        "b": offer("b", broker.bootstrap),
    }
    assert climb(None, said.append, rungs, answer_timeout_s=0.5).kind == "b"
    assert said == [f"test broker: not a: {nobody} does not answer as Kafka does"]
    assert stopped == ["a"]


def test_a_forced_rung_is_the_only_one_tried(broker: Broker) -> None:
    """A forced rung that does not hold is an error, although another would hold."""
    rungs = {"a": offer("a", broker.bootstrap), "b": refuse}
    assert climb("a", pytest.fail, rungs).kind == "a"
    with pytest.raises(RungUnavailable, match=r"^TEST_BROKER=b: it rains$"):
        climb("b", pytest.fail, rungs)
    with pytest.raises(RungUnavailable, match=r"^TEST_BROKER=x: choose one of a, b$"):
        climb("x", pytest.fail, rungs)


def test_nothing_to_stand_on_is_an_error() -> None:
    """No rung holds: the run ends, for it would test nothing."""
    with pytest.raises(RungUnavailable, match="no test broker is to be had"):
        climb(None, lambda _: None, {"a": refuse})
