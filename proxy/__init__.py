"""An HTTP proxy for Kafka."""

from __future__ import annotations

__version__ = "0.1.0"
