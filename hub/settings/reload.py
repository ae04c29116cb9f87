"""Reading the settings again while the hub serves: which of them apply at once, which do not."""

from __future__ import annotations

import os
from collections.abc import Mapping

from msgspec import Struct, structs

from hub.settings.fields import FIELDS
from hub.settings.load import Given, find_given, load_settings
from hub.settings.model import Settings


class Source(Struct, frozen=True):
    """Where the settings of this process come from, to be read again; as for `load_settings`."""

    flags: Mapping[str, object] = {}
    config_path: str | None = None

    def load(self) -> Settings:
        """The settings as they are given now. Raises SettingsError."""
        return load_settings(self.flags, os.environ, self.config_path)

    def given(self, name: str) -> Given | None:
        """What is given for one setting now; None if nothing is. Raises SettingsError."""
        return find_given(name, self.flags, os.environ, self.config_path)


class Reloaded(Struct, frozen=True):
    """The settings to go on with; the names of those that changed, and of those that did but need
    a restart, in the order of `Settings`."""

    settings: Settings
    changed: list[str]
    need_restart: list[str]


def compare(current: Settings, given: Settings) -> Reloaded:
    """What of `given` applies at once to a hub that runs with `current`."""
    differ = [name for name in FIELDS if getattr(given, name) != getattr(current, name)]
    changed = [name for name in differ if FIELDS[name].reloads]
    settings = structs.replace(current, **{name: getattr(given, name) for name in changed})
    return Reloaded(settings, changed, [name for name in differ if name not in changed])
