"""The scheduler's configuration for this daemon: the KubeSchedulerConfiguration of a file, or the default.

What stands in it is the scheduler's business (scheduler/config.py); here it gets its place in the file. Reading it
imports numpy, so it happens before the start only where there is one to be checked.
"""

import pathlib

from reconciler.daemon.config import SCHEDULER, ConfigError, documents
from reconciler.scheduler import config, roster


def load(path: pathlib.Path | None) -> config.Configuration:
    """The one KubeSchedulerConfiguration of `path`, or the default. Raises ConfigError with file, line and field."""
    try:
        return config.default() if path is None else _read(path)
    except roster.BadPlugin as error:
        raise ConfigError(str(error)) from error


def _read(path: pathlib.Path) -> config.Configuration:
    found = [document for document in documents(path) if document.value.get("kind") == SCHEDULER]
    if len(found) != 1:
        raise ConfigError(f"{path}: want one document of kind {SCHEDULER}, found {len(found)}")
    try:
        return config.parse(found[0].value)
    except config.ConfigError as error:
        raise ConfigError("\n".join(found[0].problem(at, message) for at, message in error.problems)) from error
