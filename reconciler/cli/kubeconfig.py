"""`reconciler kubeconfig`: the administrator's kubeconfig, to be saved where kubectl looks."""

import argparse
import pathlib
import sys

from reconciler.cli import connection as connections
from reconciler.cli import main


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", metavar="DIR", type=pathlib.Path, default=None)


def run(arguments: argparse.Namespace) -> int:
    path = (arguments.data_dir or connections.default_data_dir()) / "admin.kubeconfig"
    try:
        sys.stdout.write(path.read_text())
    except OSError as error:
        raise main.Refused(f"{path}: {error.strerror}; `reconciler up` writes it") from error
    return 0
