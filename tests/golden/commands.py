"""Scripts of commands and what comes of each: lines that begin with "> ", and the text below them."""

from collections.abc import Iterator


def steps(text: str) -> Iterator[tuple[str, str]]:
    """(command, what follows it); the first is what stands before any command."""
    command, body = "", ""
    for line in text.splitlines(keepends=True):
        if line.startswith("> "):
            yield command, body
            command, body = line[2:].strip(), ""
        else:
            body += line
    yield command, body
