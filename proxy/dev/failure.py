"""The one error of this folder."""

from __future__ import annotations


class DevFailure(Exception):
    """`dev` cannot start (2) or go on (1); the message is one line for the person who typed it."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
