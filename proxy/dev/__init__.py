"""`kafka-over-http dev`: the proxy with a broker of its own, to try it out."""

from __future__ import annotations

from proxy.dev.session import run_dev

__all__ = ["run_dev"]
