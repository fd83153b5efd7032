"""The nouns of the broker ladder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


class RungUnavailable(Exception):
    """This kind of broker is not to be had here; the message says why in one line."""


def _nothing_to_stop() -> None: ...


@dataclass(frozen=True, slots=True)
class Broker:
    """
    The broker of the session.

    kind: external, testcontainers, apache or embedded
    name: what it is, for the header of the run
    cannot: what it cannot do, by name, with the reason; `@pytest.mark.needs(name)` skips by it
    proxy_settings: what a proxy must keep to on it, unless a test says otherwise
    """

    kind: str
    name: str
    bootstrap: str
    cannot: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    proxy_settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    stop: Callable[[], None] = _nothing_to_stop
