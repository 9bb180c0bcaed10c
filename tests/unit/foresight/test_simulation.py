"""Simulated hours: outages and their healing, loads and autoscalers, new versions; the same for the same seed."""

import json
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import main
from reconciler.foresight import picture, scenario, simulation

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: a, resources: {requests: {cpu: 500m}}}]}
"""
SCALER = """
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: default}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 10
  metrics: [{type: Resource, resource: {name: cpu, target: {type: AverageValue, averageValue: 500m}}}]
"""


def run(folder: Path, **settings: Any) -> simulation.Result:
    wanted = scenario.Scenario.model_validate(settings)
    return simulation.simulate(simulation.Question(folder=folder, scenario=wanted, base=folder.parent))


@pytest.fixture
def web(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "web.yaml").write_text(WEB.replace("REPLICAS", "6"))
    return folder


def at(found: simulation.Result, seconds: float) -> Any:
    return min(found.samples, key=lambda one: abs(one.seconds - seconds))


def test_a_zone_without_power_is_evacuated_after_five_minutes(web: Path) -> None:
    outage = {"at": "5m", "powerLoss": {"zone": "zone-2", "for": "20m"}}
    found = run(web, duration="40m", nodes={"count": 6, "zones": 3}, events=[outage])
    assert (at(found, 240).ready, at(found, 240).nodes) == (6, 6)
    assert (at(found, 420).ready, at(found, 420).nodes) == (4, 4)  # 50 s without a sign of life
    assert (at(found, 900).ready, at(found, 900).ending) == (6, 2)  # tolerated for 300 s
    assert (at(found, 2300).ready, at(found, 2300).ending, at(found, 2300).nodes) == (6, 0, 6)
    (dip,) = found.availability
    assert (dip.wanted, dip.least, dip.at_end) == (6, 4, 6)
    assert dip.below_seconds == pytest.approx(300, abs=5)
    assert [moment.text for moment in found.moments][1:] == ["power is lost: zone-2 (2 nodes)", "power is back: zone-2"]


def test_a_load_moves_the_autoscaler(web: Path) -> None:
    text = WEB.replace("  replicas: REPLICAS\n", "") + SCALER
    (web / "web.yaml").write_text(text)
    found = run(web, duration="40m", loads=[{"deployment": "default/web", "cpu": [["0s", "500m"], ["10m", "3"], ["15m", "500m"]]}])
    assert at(found, 0).ready <= 1
    assert max(one.ready for one in found.samples) >= 5
    assert found.samples[-1].ready == 1


def test_a_new_version_and_a_scaling(web: Path) -> None:
    after = web.parent / "after"
    after.mkdir()
    (after / "web.yaml").write_text(WEB.replace("REPLICAS", "2"))
    found = run(web, duration="10m", events=[{"at": "5m", "apply": "after"}])
    assert (at(found, 240).ready, found.samples[-1].ready) == (6, 2)
    missing = run(web, duration="2m", events=[{"at": "1m", "scale": {"deployment": "default/gone", "replicas": 1}}])
    assert missing.problems == ('scale default/gone: deployments.apps "gone" not found',)


def test_what_comes_after_the_end_does_not_happen(web: Path) -> None:
    found = run(web, duration="5m", events=[{"at": "4m", "powerLoss": {"nodes": ["sim-1"], "for": "10m"}}, {"at": "6m", "apply": "web"}])
    assert [moment.text for moment in found.moments] == ["web is applied: 1 documents", "power is lost: sim-1 (1 nodes)"]
    assert found.samples[-1].seconds == 300


def test_the_same_seed_gives_the_same_run(web: Path) -> None:
    events = [{"at": "2m", "powerLoss": {"nodes": ["sim-1"]}}]
    assert run(web, duration="10m", events=events) == run(web, duration="10m", events=events)


def test_the_picture_is_well_formed(web: Path) -> None:
    found = run(web, duration="5m", events=[{"at": "1m", "powerLoss": {"nodes": ["sim-1"]}}])
    root = xml.fromstring(picture.svg(found))
    assert len(root.findall("{http://www.w3.org/2000/svg}polygon")) == 4
    assert any("power is lost: sim-1" in (one.text or "") for one in root.iter("{http://www.w3.org/2000/svg}text"))


def test_the_verb(web: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text("duration: 5m\nevents:\n- {at: 1m, powerLoss: {nodes: [sim-1]}}\n")
    assert main.main(["simulate", str(web), "--scenario", str(file), "--nodes", "4", "--picture", str(tmp_path / "out.svg")]) == 0
    assert "5 min of 4 nodes" in capsys.readouterr().out
    assert (tmp_path / "out.svg").read_text().startswith("<svg")
    assert main.main(["simulate", str(web), "--scenario", str(file), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"] == 3
    file.write_text("duration: 5m\nevents:\n- {at: soon, powerLoss: {nodes: [sim-1]}}\n")
    assert main.main(["simulate", str(web), "--scenario", str(file)]) == 1
    assert f"{file}:3: events[0].at" in capsys.readouterr().err
