"""Taking over new settings on SIGHUP, with a line in the log for every outcome."""

from __future__ import annotations

from hub.settings import Settings, SettingsError, Source, compare, describe
from hub.telemetry import logs

logger = logs.get("hub.settings")


def reload_settings(current: Settings, source: Source, *, quiet: bool = False) -> Settings:
    """The settings to go on with; `current` when those that are given now are wrong.

    The log takes its new form and level here. With `quiet` only a line for what has changed: for
    workers, whose parent says the rest.
    """
    try:
        reloaded = compare(current, source.load())
    except SettingsError as error:
        if not quiet:
            logger.error("settings not reloaded, the old ones stay in force", reason=str(error))
        return current
    settings = reloaded.settings
    if reloaded.changed:
        logs.configure(settings.log_format, settings.log_level)
        shown = describe(settings)  # without secrets
        logger.info("settings reloaded", **{name: shown.get(name) for name in reloaded.changed})
    elif not quiet and not reloaded.need_restart:
        logger.info("settings reloaded: nothing changed")
    if reloaded.need_restart and not quiet:
        logger.warning(
            "settings changed that need a restart", settings=", ".join(reloaded.need_restart)
        )
    return settings
