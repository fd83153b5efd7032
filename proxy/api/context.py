"""
What a request finds: the rooms that the composition root has made, on the state of the lifespan.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from proxy.api.limits import Budget
from proxy.config import Settings
from proxy.kafka.cluster import Cluster
from proxy.kafka.direct_reader import DirectReader
from proxy.kafka.instances import Instances
from proxy.kafka.produce import Produce
from proxy.kafka.topics import Topics
from proxy.observe.metrics import Metrics


@dataclass(slots=True)
class Context:
    """One for the process. `draining` is set by the first signal; new long work is refused then."""

    settings: Settings
    cluster: Cluster
    topics: Topics
    produce: Produce
    reader: DirectReader
    instances: Instances
    budget: Budget
    metrics: Metrics
    draining: bool = False


def context_of(scope: Scope) -> Context:
    """The context of a request."""
    context: Context = scope["state"]["context"]
    return context
