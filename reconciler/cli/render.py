"""`reconciler render`: the documents of a folder as they would be applied, kustomizations built; without a server.

Prints YAML, each document with the place it comes from. Exit code 1 when something cannot be read or built.
"""

import argparse
import pathlib
import sys

from reconciler.cli import documents, main


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")


def run(arguments: argparse.Namespace) -> int:
    from reconciler.foresight import check

    if not arguments.folder.is_dir():
        raise main.Refused(f"{arguments.folder}: not a folder")
    files = check.files(arguments.folder)
    for document in (document for file in files for document in file.documents):
        made = f"{document.source} by {document.unit}" if document.unit else document.source
        sys.stdout.write(f"---\n# {made}\n{documents.dump(document.body)}")
    problems = [problem for file in files for problem in file.problems]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0
