"""`reconciler simulate`: a folder on a cluster that does not exist, through outages, loads and rollouts.

Hours of the whole control plane in minutes, without a server: the real controllers, scheduler and autoscalers on a
virtual clock. The same seed gives the same run. Exit codes: 0 all pods that were wanted found a node and every document
was taken, 1 not run, 2 something was refused or fits nowhere.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Any

from reconciler.cli import main

if TYPE_CHECKING:
    from reconciler.foresight import scenario, simulation

BARS = "▁▂▃▄▅▆▇█"
COLUMNS = 60
MAX_LISTED = 20


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--nodes", type=int, metavar="N", help="how many nodes, over what the scenario says (default: 3)")
    parser.add_argument("--scenario", type=pathlib.Path, metavar="FILE", help="what happens and when; see the guide")
    parser.add_argument("--seed", type=int, default=0, help="of names and ties")
    parser.add_argument("--picture", type=pathlib.Path, metavar="FILE.svg", help="draw the timeline")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    from reconciler.foresight import picture, simulation

    folder = arguments.folder.absolute()
    if not folder.is_dir():
        raise main.Refused(f"{folder}: not a folder")
    wanted, base = _scenario(arguments)
    began = time.monotonic()
    found = simulation.simulate(simulation.Question(folder=folder, scenario=wanted, base=base, seed=arguments.seed))
    if arguments.picture is not None:
        arguments.picture.write_text(picture.svg(found))
    shown = _json(found) if arguments.output == "json" else _text(found, time.monotonic() - began)
    sys.stdout.write(shown)
    return 2 if found.problems or found.unplaced else 0


def _scenario(arguments: argparse.Namespace) -> "tuple[scenario.Scenario, pathlib.Path]":
    """The scenario under the options, and the folder that its own folders start from."""
    import pydantic

    from reconciler.daemon import config
    from reconciler.foresight import scenario

    path = arguments.scenario
    try:
        documents = config.documents(path) if path is not None else []
    except config.ConfigError as error:
        raise main.Refused(str(error)) from error
    if len(documents) > 1:
        raise main.Refused(f"{path}: want one document, not {len(documents)}")
    settings: dict[str, Any] = dict(documents[0].value) if documents else {}
    if arguments.nodes is not None and isinstance(settings.get("nodes", {}), dict):
        settings["nodes"] = {**settings.get("nodes", {}), "count": arguments.nodes}
    try:
        return scenario.Scenario.model_validate(settings), (path.parent if path is not None else pathlib.Path()).absolute()
    except pydantic.ValidationError as error:
        problems = [(item["loc"], item["msg"]) for item in error.errors()]
        lines = [documents[0].problem(at, said) if documents else f"{config.field(at)}: {said}" for at, said in problems]
        raise main.Refused("\n".join(lines)) from error


def _text(found: "simulation.Result", took_seconds: float) -> str:
    from reconciler.foresight.picture import span

    lines = [f"{span(found.seconds)} of {found.nodes} nodes in {took_seconds:.0f} s: {found.started} pods started, {found.ended} ended", ""]
    lines += [f"{span(moment.seconds):>12}  {moment.text}" for moment in found.moments]
    columns = found.samples[:: max(1, len(found.samples) // COLUMNS)]
    lines += ["", *(_row(name, [getattr(one, name) for one in columns]) for name in ("ready", "starting", "waiting", "ending", "nodes"))]
    for one in found.availability[:MAX_LISTED]:
        lasted = "until the end" if math.isinf(one.below_seconds) else f"for {span(one.below_seconds)}"
        lines.append(f"{one.object}: down to {one.least} of {one.wanted} {lasted}")
    lines += [f"fits nowhere: {one.pod}: {one.why}" for one in found.unplaced[:MAX_LISTED]]
    lines += [f"refused: {problem}" for problem in found.problems[:MAX_LISTED]]
    return "\n".join(lines) + "\n"


def _row(name: str, values: list[int]) -> str:
    most = max(values, default=0)
    bars = "".join(BARS[min(len(BARS) - 1, value * len(BARS) // (most + 1))] if value else " " for value in values)
    return f"{name:>12}  {bars}  {min(values, default=0)} to {most}"


def _json(found: "simulation.Result") -> str:
    from reconciler.foresight import report

    return json.dumps(report.finite(dataclasses.asdict(found)), indent=2) + "\n"
