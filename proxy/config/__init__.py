"""What the settings are (`settings.py`), where they come from (`load.py`), how they are shown."""

from __future__ import annotations

from proxy.config.checks import ConfigurationError
from proxy.config.load import LoadedSettings, load_settings
from proxy.config.secret import Secret
from proxy.config.settings import Settings

__all__ = ["ConfigurationError", "LoadedSettings", "Secret", "Settings", "load_settings"]
