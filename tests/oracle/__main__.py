"""`make oracle`: fresh servers, the recorded conversations, and the share of them that comes out equal, per group.

    python -m tests.oracle [GROUP...] [--show N] [--jobs N] [--json FILE]

Differences that are meant stand in meant.txt with their reasons: `sequence name<TAB>reason`. They are counted
apart, never as equal. Exit code 0 when nothing else differs.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from tests import servers

HERE = pathlib.Path(__file__).resolve().parent
API_CONTROLLERS = (
    "namespace-controller,serviceaccount-controller,root-ca-certificate-publisher-controller,"
    "clusterrole-aggregation-controller,garbage-collector-controller"
)
# Groups that share a server, and the controllers it runs; discovery wants a server that nobody has used.
SERVERS = (
    (("discovery",), API_CONTROLLERS),
    (("defaulting", "validation", "verbs", "watch", "patch", "apply", "crd", "subresources", "admission", "protobuf"), API_CONTROLLERS),
    (("controllers",), "*"),
    (("scheduler",), "*"),
    (("kubectl",), "*"),
)


def meant() -> dict[str, str]:
    lines = (HERE / "meant.txt").read_text().splitlines()
    return dict(line.split("\t", 1) for line in lines if line and not line.startswith("#"))


def replay(kubeconfig: pathlib.Path, groups: list[str], arguments: argparse.Namespace) -> dict[str, dict[str, object]]:
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [
            sys.executable,
            str(HERE / "replay.py"),
            "--kubeconfig",
            str(kubeconfig),
            "--json",
            out.name,
            "--jobs",
            str(arguments.jobs),
        ]
        for group in groups:
            command += ["--group", group]
        if arguments.show:
            command += ["--show", str(arguments.show)]
        if arguments.name:
            command += ["--name", arguments.name]
        subprocess.run(command, check=False)
        return dict(json.loads(pathlib.Path(out.name).read_text() or "{}"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle")
    parser.add_argument("groups", nargs="*")
    parser.add_argument("--name", default="")
    parser.add_argument("--show", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    results: dict[str, dict[str, object]] = {}
    for groups, controllers in SERVERS:
        chosen = [group for group in groups if not arguments.groups or group in arguments.groups]
        if chosen:
            with servers.running("--runtime", "none", "--controllers", controllers) as server:
                results |= replay(server.kubeconfig, chosen, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    return report(results)


def report(results: dict[str, dict[str, object]]) -> int:
    reasons, unexplained = meant(), 0
    groups: dict[str, list[int]] = {}
    for name, result in results.items():
        equal = not result["differences"]
        row = groups.setdefault(str(result["group"]), [0, 0, 0])
        row[0] += equal
        row[1] += not equal and name in reasons
        row[2] += 1
        unexplained += not equal and name not in reasons
    print(f"{'group':14} {'equal':>6} {'meant':>6} {'all':>6} {'share':>7}")
    for group, (equal_count, meant_count, total) in sorted(groups.items()):
        print(f"{group:14} {equal_count:6} {meant_count:6} {total:6} {equal_count / total:7.1%}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
