"""The `reconciler` command: finds the verb, runs it, and turns refusals into one line and an exit code.

Exit codes: 0 done, 1 refused or failed, 2 bad usage, 130 interrupted. Verb modules are imported when chosen; each
offers `configure(parser)` and `run(arguments) -> int`.
"""

import argparse
import importlib
import sys

from reconciler import __version__

VERBS = {
    "up": "run everything: journal, API, GitOps, controllers, scheduler, node, proxy",
    "down": "stop the daemon and every container",
    "get": "list objects, as kubectl get does",
    "describe": "show one object, its events and where it came from",
    "events": "what happened, the oldest first, and further back than Events are kept",
    "logs": "print what a container wrote",
    "status": "is the folder applied, is everything healthy, and if not, why",
    "diff": "what applying a folder would change",
    "plan": "what a change would do: objects, pods, nodes, availability",
    "simulate": "a folder on simulated nodes through outages, loads and rollouts",
    "check": "validate a folder without a server; for continuous integration",
    "render": "print the documents of a folder as they would be applied, kustomizations built",
    "history": "what a Sync applied, revision by revision",
    "rollback": "apply an earlier revision until the folder changes",
    "explain": "what the controllers plan for an object and what they wait on",
    "why": "from a pod or a PID back to the file and line that caused it, or from a commit to what it caused",
    "kubeconfig": "print the kubeconfig that kubectl needs",
    "compact": "forget the journal's history, not where live objects came from",
    "keeper": "upgrade the parent of the containers in place, or list its pods",
    "snapshot": "copy the journal while it is in use",
    "restore": "make a journal from a snapshot",
}


class Refused(Exception):
    """A verb cannot do what it was asked; the message is for the user."""


class NotFound(Refused):
    """The server has no such object."""


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    chosen = words[0] if words else ""
    if chosen not in VERBS:
        return _usage(chosen)
    module = importlib.import_module(f"reconciler.cli.{chosen}")
    parser = argparse.ArgumentParser(prog=f"reconciler {chosen}", description=VERBS[chosen])
    module.configure(parser)
    arguments = parser.parse_args(words[1:])
    try:
        return int(module.run(arguments))
    except Refused as refusal:
        print(f"reconciler {chosen}: {refusal}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away, as `| head` does
        return 1
    except KeyboardInterrupt:
        return 130


def _usage(word: str) -> int:
    if word in ("--version", "version"):
        print(f"reconciler {__version__}")
        return 0
    wanted_help = word in ("", "-h", "--help", "help")
    stream = sys.stdout if wanted_help else sys.stderr
    if not wanted_help:
        print(f"reconciler: there is no verb {word!r}", file=stream)
    print("usage: reconciler VERB [...]   (reconciler VERB --help says more)\n", file=stream)
    for verb, purpose in VERBS.items():
        print(f"  {verb:11} {purpose}", file=stream)
    return 0 if wanted_help else 2


if __name__ == "__main__":
    sys.exit(main())
