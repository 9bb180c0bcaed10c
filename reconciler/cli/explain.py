"""`reconciler explain`: what the controllers would do for an object now, what they wait on, and where a pod could go."""

import argparse
import sys
import urllib.parse
from typing import Any

from reconciler.cli import connection as connections


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="+", metavar="KIND/NAME | KIND NAME")
    connections.add_options(parser, namespace=True)


def run(arguments: argparse.Namespace) -> int:
    server = connections.Connection(arguments)
    resource, name = connections.target(server, arguments.what)
    namespace = (arguments.namespace or "default") if resource.namespaced else ""
    parts = (resource.id, namespace or "-", name)
    path = "/reconciler/explain/" + "/".join(urllib.parse.quote(part, safe="") for part in parts)
    sys.stdout.write(render(server.json(path)))
    return 0


def render(answer: dict[str, Any]) -> str:
    health = answer["health"]
    lines = [f"{answer['object']}: {health['state']}" + (f", {health['message']}" if health.get("message") else "")]
    for plan in answer["plans"]:
        lines.append(f"{plan['controller']}:")
        lines += [f"  would {action}" for action in plan["actions"]]
        lines += [f"  waits for {waiting}" for waiting in plan["waiting_on"]]
        if plan.get("again_in_seconds") is not None:
            lines.append(f"  looks again in {plan['again_in_seconds']:.1f} s")
        if plan.get("error"):
            lines.append(f"  last failure: {plan['error']}")
        if not (plan["actions"] or plan["waiting_on"] or plan.get("again_in_seconds") is not None):
            lines.append("  nothing to do")
    if answer.get("scheduling"):
        lines += ["scheduler:", *(f"  {line}" for line in answer["scheduling"])]
    elif not answer["plans"]:
        lines.append("no controller looks after it")
    lines += [f"note: {note}" for note in answer.get("notes", ())]
    return "\n".join(lines) + "\n"
