"""Forecasts of changes of a folder, from nothing and from what is there."""

import json
import os
import random
import subprocess
from collections import Counter
from collections.abc import Mapping
from concurrent import futures
from pathlib import Path

import pytest

from reconciler.foresight import forecast, report, revision, virtual, world
from reconciler.kinds import pod
from reconciler.model import meta

NOW = 1_800_000_000.0


def deployment(name: str, replicas: int = 2, image: str = "a:1", cpu: str = "100m", more: str = "") -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: default}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  {more}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
      - name: c
        image: "{image}"
        resources: {{requests: {{cpu: "{cpu}"}}}}
        readinessProbe: {{initialDelaySeconds: 5, tcpSocket: {{port: 80}}}}
"""


def folder(root: Path, files: Mapping[str, str]) -> Path:
    root.mkdir()
    for name, text in files.items():
        (root / name).write_text(text)
    return root


def asked(tmp_path: Path, before: Mapping[str, str], after: Mapping[str, str]) -> forecast.Forecast:
    beginning = world.Beginning(now=NOW, nodes=2)
    question = forecast.Question(beginning=beginning, before=folder(tmp_path / "before", before), folder=folder(tmp_path / "after", after))
    return forecast.forecast(question)


def test_nothing_changes(tmp_path: Path) -> None:
    found = asked(tmp_path, {"web.yaml": deployment("web")}, {"web.yaml": deployment("web")})
    assert found.changes == ()
    assert found.pods == ()
    assert found.works
    assert report.text(found) == "plan: nothing would change\n"


def test_a_rollout_with_its_dip(tmp_path: Path) -> None:
    recreate = "strategy: {type: Recreate}"
    found = asked(tmp_path, {"web.yaml": deployment("web", more=recreate)}, {"web.yaml": deployment("web", image="a:2", more=recreate)})
    assert [(change.sign, change.object, change.file) for change in found.changes] == [("~", "Deployment default/web", "web.yaml")]
    assert found.changes[0].fields == ("spec.template.spec.containers[name=c].image a:1 -> a:2",)
    assert Counter(step.sign for step in found.pods) == {"+": 2, "-": 2}
    (dip,) = found.availability
    assert (dip.wanted, dip.least, dip.at_end) == (2, 0, 2)
    assert dip.below_seconds == pytest.approx(5.0, abs=1.5)  # the probe's initial delay
    assert found.works


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    found = asked(tmp_path, {"web.yaml": deployment("web")}, {"web.yaml": deployment("web"), "big.yaml": deployment("big", cpu="40")})
    assert {one.why.split(".")[0] for one in found.unplaced} == {"0/2 nodes are available: 2 Insufficient cpu"}
    assert [one.object for one in found.unhealthy] == ["Deployment default/big"]
    assert not found.works


def test_what_disappears_is_pruned_and_what_is_wrong_is_refused(tmp_path: Path) -> None:
    found = asked(tmp_path, {"web.yaml": deployment("web"), "old.yaml": deployment("old")}, {"web.yaml": deployment("web")})
    assert [(change.sign, change.object) for change in found.changes] == [("-", "Deployment default/old")]
    assert Counter(step.sign for step in found.pods) == {"-": 2}
    broken = deployment("web").replace("replicas: 2", "replicas: many")
    (tmp_path / "again").mkdir()
    refused = asked(tmp_path / "again", {"web.yaml": deployment("web")}, {"web.yaml": broken})
    assert refused.changes == ()
    assert refused.problems[0].startswith("web.yaml:6:3: spec.replicas")
    assert not refused.works


def test_the_same_seed_gives_the_same_forecast(tmp_path: Path) -> None:
    before, after = {"web.yaml": deployment("web", 5)}, {"web.yaml": deployment("web", 7, image="a:2")}
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert asked(tmp_path / "one", before, after) == asked(tmp_path / "two", before, after)


def test_reports(tmp_path: Path) -> None:
    found = asked(tmp_path, {"web.yaml": deployment("web")}, {"web.yaml": deployment("web", 3), "big.yaml": deployment("big", cpu="40")})
    text = report.text(found)
    assert text.startswith("plan: 2 objects would change, 1 pod start, 0 end; 3 things would be wrong\n")
    assert "~ Deployment default/web  # web.yaml\n    spec.replicas 2 -> 3\n" in text
    assert "**Would fit nowhere:**" in report.markdown(found)
    assert json.loads(report.as_json(found))["changes"][0]["object"] == "Deployment default/big"


def git(where: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(where), *identity, *words], check=True, capture_output=True)


def test_a_folder_at_a_commit(tmp_path: Path) -> None:
    top = folder(tmp_path / "repository", {})
    apps = folder(top / "apps", {"web.yaml": "one"})
    git(top, "init", "-q")
    git(top, "add", ".")
    git(top, "commit", "-qm", "one")
    (apps / "web.yaml").write_text("two")
    with revision.checked_out(apps, "HEAD") as found:
        assert (found / "web.yaml").read_text() == "one"
    assert not found.exists()
    with pytest.raises(revision.NoSuchRevision), revision.checked_out(apps, "nowhere"):
        pass
    with pytest.raises(revision.NoSuchRevision), revision.checked_out(apps, "--output=/tmp/x"):
        pass


# What the forecast says is what then happens: on random changes of a cluster that goes on running.

IMAGES = ("a:1", "a:2", "a:3")
CHANGES = int(os.environ.get("FORECAST_CHANGES", "25"))  # of each cluster: 200 in all
CLUSTERS = 8


def random_folder(chance: random.Random) -> dict[str, str]:
    files = {}
    for name in chance.sample(("web", "api", "db", "job", "cache"), chance.randint(1, 4)):
        more = "strategy: {type: Recreate}" if chance.random() < 0.3 else ""
        files[f"{name}.yaml"] = deployment(name, chance.randint(0, 4), chance.choice(IMAGES), chance.choice(("100m", "3", "40")), more)
    return files


Step = tuple[float, str]


def told(seconds: float, sign: str, name: str, node: str) -> Step:
    """A pod step without the pod's own suffix, which is another in each world; what happens at once has no order."""
    return round(seconds, 1), f"{sign} {name.removeprefix('default/').rpartition('-')[0]} on {node}"


async def lived(tmp_path: Path, seed: int) -> list[tuple[list[Step], int, forecast.Forecast]]:
    """Of each change of one cluster that goes on: what pods did, in order, how many fitted nowhere, and what had been forecast."""
    chance, clock, came = random.Random(seed), virtual.Clock(NOW), []
    async with world.running(world.Beginning(now=NOW, nodes=3, seed=seed), clock) as made:
        await made.follow(folder(tmp_path / "first", random_folder(chance)))
        await forecast.settled(made, 600.0)
        for number in range(CHANGES):
            after = folder(tmp_path / str(number), random_folder(chance))
            objects = [(kind.id, obj) for kind in made.cache.roster if made.cache.has(kind.id) for obj in made.cache.every(kind.id)]
            beginning = world.Beginning(now=clock.now(), objects=objects, seed=seed + 1)
            found = in_a_thread(forecast.Question(beginning=beginning, folder=after))
            await forecast.settled(made, 600.0)  # as the copy does first: how old pods are then decides which of them go
            made.observer.begin()
            await made.follow(after)
            await forecast.settled(made, 600.0)
            steps = [told(one.seconds, one.sign, meta.name(one.pod), pod.node_name(one.pod)) for one in made.observer.pod_steps]
            came.append((sorted(steps), sum(1 for _ in made.observer.unplaced()), found))
    return came


def in_a_thread(question: forecast.Question) -> forecast.Forecast:
    """For this one has an event loop already."""
    with futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(forecast.forecast, question).result()


@pytest.mark.parametrize("seed", range(CLUSTERS))
def test_what_is_forecast_then_happens(tmp_path: Path, seed: int) -> None:
    for happened, unplaced, found in virtual.run(lived(tmp_path, seed)):
        assert sorted(told(step.seconds, step.sign, step.pod, step.node) for step in found.pods) == happened
        assert len(found.unplaced) == unplaced
