"""The hub's settings: their definitions, and where their values come from."""

from hub.settings.fields import FIELDS, Field
from hub.settings.load import SettingsError, load_settings
from hub.settings.model import (
    Settings,
    default_data_dir,
    default_hub_id,
    describe,
    worker_id,
)
from hub.settings.reload import Reloaded, Source, compare
from hub.settings.variables import unknown_variables

__all__ = [
    "FIELDS",
    "Field",
    "Reloaded",
    "Settings",
    "SettingsError",
    "Source",
    "compare",
    "default_data_dir",
    "default_hub_id",
    "describe",
    "load_settings",
    "unknown_variables",
    "worker_id",
]
