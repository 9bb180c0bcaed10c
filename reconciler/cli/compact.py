"""`reconciler compact`: forget the journal's history; live objects and where they came from stay."""

import argparse

from reconciler.cli import connection as connections


def configure(parser: argparse.ArgumentParser) -> None:
    connections.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    import json

    answer = json.loads(connections.Connection(arguments).ask("POST", "/reconciler/compact", {}).read())
    print(f"history is kept from revision {answer['oldestRevision']} on")
    return 0
