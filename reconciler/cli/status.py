"""`reconciler status`: one screen that says whether the folder is applied and everything is healthy."""

import argparse
import json
import sys
from typing import Any

from reconciler.cli import connection as connections
from reconciler.cli import tables


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    connections.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    answer = connections.Connection(arguments).json("/reconciler/status")
    sys.stdout.write(json.dumps(answer, indent=2) + "\n" if arguments.output == "json" else render(answer))
    return 0 if answer["healthy"] else 1


def render(answer: dict[str, Any]) -> str:
    lines = [f"{answer['version']}, revision {answer['revision']}, up {answer['up_seconds']:.0f} s"]
    for sync in answer["syncs"]:
        lines.append(f"{sync['path']}: {sync['state']}" + (f" at {sync['commit']}" if sync.get("commit") else ""))
        lines += [f"  {condition['type']}: {condition['reason']}: {condition['message']}" for condition in sync["conditions"]]
        ready = sync.get("ready") or {}
        if ready.get("status") not in (None, "True") and not sync["errors"]:
            lines.append(f"  {ready['reason']}: {ready['message']}")
        lines += [f"  {error}" for error in sync["errors"]]
        lines += [f"  {warning}" for warning in sync.get("warnings") or ()]
    rows = [["KIND", "HEALTHY", "PROGRESSING", "DEGRADED"]]
    rows += [
        [kind, *(str(counts.get(state, 0)) for state in ("Healthy", "Progressing", "Degraded"))] for kind, counts in answer["kinds"].items()
    ]
    lines.append(tables.render(rows).rstrip("\n"))
    lines += [f"{item['object']}: {item['state']}: {item['message']}" for item in answer["unhealthy"]]
    lines += [f"note: {note}" for note in answer["notes"]]
    return "\n".join(lines) + "\n"
