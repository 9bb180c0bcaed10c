"""Structured logging: one line an event, `key=value` pairs behind the message (logfmt).

Modules log with `logging.getLogger(__name__)` and pass facts as `extra={"facts": {...}}`. No secret, token or
object body is ever a fact.
"""

import logging
import sys
from typing import Any

from reconciler.kit import lines

LAST_WORDS_SECONDS = 1.0


class LogfmtFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        pairs: dict[str, Any] = {
            "ts": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname.lower(),
            "logger": record.name.removeprefix("reconciler."),
            "msg": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        line = " ".join(f"{key}={_quoted(str(value))}" for key, value in pairs.items())
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class LinesHandler(logging.Handler):
    """Leaves the writing to a thread; only the last words of the process are waited for."""

    def __init__(self, out: lines.Lines) -> None:
        super().__init__()
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        self._out.put(self.format(record))
        if record.levelno >= logging.CRITICAL:
            self.flush()

    def flush(self) -> None:
        """Also called by logging when the interpreter ends."""
        self._out.flush(LAST_WORDS_SECONDS)


def setup(level: str = "INFO") -> None:
    """Send the package's records to standard error in logfmt."""
    handler = LinesHandler(lines.Lines(sys.stderr.fileno()))
    handler.setFormatter(LogfmtFormatter())
    root = logging.getLogger("reconciler")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


def _quoted(text: str) -> str:
    if text and not any(c in text for c in ' "=\n\t'):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'
