"""`reconciler restore`: make the journal of an empty data folder from a snapshot."""

import argparse
import pathlib

from reconciler.cli import connection as connections
from reconciler.cli import main


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=pathlib.Path, metavar="FILE", help="the snapshot")
    parser.add_argument("--data-dir", type=pathlib.Path, metavar="DIR", help="the data folder to make; no daemon may use it")


def run(arguments: argparse.Namespace) -> int:
    from reconciler.daemon import restoring

    folder = arguments.data_dir or connections.default_data_dir()
    try:
        revision = restoring.restore(arguments.file, folder)
    except restoring.Failed as error:
        raise main.Refused(str(error)) from error
    print(f"{folder}: restored up to revision {revision}; what ran since the snapshot is planned anew by `reconciler up`")
    return 0
