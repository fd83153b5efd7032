"""
What a request finds: the rooms that the composition root has made, on the state of the lifespan.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from starlette.types import Scope

from proxy.api.limits import Budget
from proxy.config import Settings
from proxy.errors import Overloaded
from proxy.kafka.cluster import Cluster
from proxy.kafka.direct_reader import DirectReader
from proxy.kafka.instances import Instances
from proxy.kafka.produce import Produce
from proxy.kafka.topics import Topics
from proxy.observe.metrics import Metrics


@dataclass(slots=True)
class Context:
    """
    One for the process. The first signal sets `withdrawn`: not ready, but everything is served.
    `draining` comes `drain_delay_ms` later: new long work is refused.
    """

    settings: Settings
    cluster: Cluster
    topics: Topics
    produce: Produce
    reader: DirectReader
    instances: Instances
    budget: Budget
    metrics: Metrics
    withdrawn: bool = False
    draining: bool = False
    end_by: float | None = None

    def drain(self, end_by: float) -> None:
        """Take nothing new, and let what waits for records answer with what it has."""
        self.draining = True
        self.end_by = end_by
        self.instances.hurry()
        self.reader.hurry()

    def check_serving(self) -> None:
        """Before new long work. Raises Overloaded while draining."""
        if self.draining:
            raise going_down()

    def left_s(self) -> float:
        """How long stopping may go on; `end_by` is in terms of `time.monotonic`."""
        if self.end_by is None:
            return self.settings.shutdown_timeout_ms / 1000
        return max(0.0, self.end_by - time.monotonic())


def going_down() -> Overloaded:
    """What is said to a request of which, since the process ends, nothing was or will be done."""
    return Overloaded("The service is going down.")


def context_of(scope: Scope) -> Context:
    """The context of a request."""
    context: Context = scope["state"]["context"]
    return context
