"""A pattern that means a topic's whole name."""

from __future__ import annotations

import re2


class FullMatch:
    """
    In the place of the compiled pattern that aiokafka would match from the left.

    RE2 takes time linear in the name, so no pattern can block the loop. Source: KIP-848, which
    chose RE2/J.
    """

    def __init__(self, pattern: str) -> None:
        self._fullmatch = re2.compile(pattern).fullmatch

    def match(self, topic: str) -> bool:
        return self._fullmatch(topic) is not None
