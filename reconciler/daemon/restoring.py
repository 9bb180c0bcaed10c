"""Restoring a journal, for the command line, which does not know the store."""

import pathlib

from reconciler.store import snapshot, types


class Failed(Exception):
    """The journal could not be restored; the message says why."""


def restore(source: pathlib.Path, folder: pathlib.Path) -> int:
    """Make the journal in `folder` from a snapshot; returns its revision. Raises Failed."""
    try:
        return snapshot.restore(source, folder)
    except types.JournalError as error:
        raise Failed(str(error)) from error
