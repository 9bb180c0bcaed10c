"""`reconciler logs`: what a container wrote."""

import argparse
import sys
import urllib.parse

from reconciler.cli import connection as connections


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pod", metavar="POD")
    parser.add_argument("-c", "--container", default="")
    parser.add_argument("-f", "--follow", action="store_true")
    parser.add_argument("-p", "--previous", action="store_true", help="of the instance before the last restart")
    parser.add_argument("--tail", type=int, default=-1, metavar="LINES")
    parser.add_argument("--since", type=int, default=0, metavar="SECONDS")
    parser.add_argument("--timestamps", action="store_true")
    connections.add_options(parser, namespace=True)


def run(arguments: argparse.Namespace) -> int:
    server = connections.Connection(arguments)
    query = {
        "container": arguments.container,
        "follow": "true" if arguments.follow else "",
        "previous": "true" if arguments.previous else "",
        "tailLines": str(arguments.tail) if arguments.tail >= 0 else "",
        "sinceSeconds": str(arguments.since) if arguments.since else "",
        "timestamps": "true" if arguments.timestamps else "",
    }
    namespace = urllib.parse.quote(arguments.namespace or "default", safe="")
    name = urllib.parse.quote(arguments.pod.removeprefix("pod/"), safe="")
    options = urllib.parse.urlencode({key: value for key, value in query.items() if value})
    for line in server.lines(f"/api/v1/namespaces/{namespace}/pods/{name}/log?{options}", accept="*/*"):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    return 0
