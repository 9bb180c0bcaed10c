"""Settings and the scheduler's configuration from files: what is wrong is named with file, line and field."""

import pathlib

import pytest

from reconciler.daemon import config, scheduling

PROFILES = """\
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
- schedulerName: packing
  pluginConfig:
  - name: NodeResourcesFit
    args:
      scoringStrategy:
        type: MostAllocated
"""


def written(folder: pathlib.Path, text: str) -> pathlib.Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def problem(path: pathlib.Path) -> str:
    with pytest.raises(config.ConfigError) as refusal:
        scheduling.load(config.load(path, {}).scheduler_config)
    return str(refusal.value)


def test_the_command_line_wins(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "dataDir: /a\nnodes: 5\n")
    assert config.load(path, {"nodes": 7}).nodes == 7
    assert config.load(path, {}).data_dir == pathlib.Path("/a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataDir: /a\nnodes: 0\n", ":2: nodes: Input should be greater than or equal to 1"),
        ("# first\ndataDir: /a\nlissten: x\n", ":3: lissten: Extra inputs are not permitted"),
        ("dataDir: /a\n---\nnodes: 1\n", ":2: a second document of settings"),
        ("dataDir: [\n", ":2: "),
        ("- a\n", ":1: want a mapping"),
        ("dataDir: /a\npodPidsLimit: -1\n", ":2: podPidsLimit: Input should be greater"),
        ("dataDir: /a\nevictionHard:\n  memory.free: 1Gi\n", ":3: evictionHard.memory.free: Value error, unsupported eviction signal"),
        ("dataDir: /a\nevictionHard:\n  memory.available: 1Gx\n", ":3: evictionHard.memory.available: Value error, "),
        (
            "dataDir: /a\nevictionSoft: {memory.available: 1Gi}\n",
            ":1: evictionSoftGracePeriod: Value error, grace period must be specified",
        ),
        ("dataDir: /a\nevictionPressureTransitionPeriod: soon\n", ":2: evictionPressureTransitionPeriod: Value error, "),
    ],
)
def test_a_bad_setting_has_its_line(tmp_path: pathlib.Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(config.ConfigError) as refusal:
        config.load(path, {})
    assert str(refusal.value).startswith(f"{path}{message}")


def test_a_bad_option_has_none(tmp_path: pathlib.Path) -> None:
    with pytest.raises(config.ConfigError, match=r"^nodes: "):
        config.load(written(tmp_path, "dataDir: /a\n"), {"nodes": 0})


def test_profiles_in_the_same_file(tmp_path: pathlib.Path) -> None:
    settings = config.load(written(tmp_path, f"dataDir: /a\n---\n{PROFILES}"), {})
    assert list(scheduling.load(settings.scheduler_config).profiles) == ["default-scheduler", "packing"]


def test_profiles_in_a_file_of_their_own(tmp_path: pathlib.Path) -> None:
    own = tmp_path / "scheduler.yaml"
    own.write_text(PROFILES)
    settings = config.load(written(tmp_path, f"dataDir: /a\nschedulerConfig: {own}\n"), {})
    assert list(scheduling.load(settings.scheduler_config).profiles) == ["default-scheduler", "packing"]
    assert list(scheduling.load(None).profiles) == ["default-scheduler"]


def test_a_bad_profile_has_its_line(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "dataDir: /a\n---\n" + PROFILES.replace("MostAllocated", "Most"))
    assert problem(path).startswith(f"{path}:12: profiles[1].pluginConfig[0].args.scoringStrategy.type: Input should be 'LeastAllocated'")
    path = written(tmp_path, "dataDir: /a\n---\n" + PROFILES.replace("NodeResourcesFit", "NodeFit"))
    assert problem(path).startswith(f"{path}:9: profiles[1].pluginConfig[0].name: unknown plugin 'NodeFit'")


def test_a_file_without_profiles(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, "dataDir: /a\nschedulerConfig: nowhere.yaml\n")
    assert problem(path).startswith("nowhere.yaml: ")
    (tmp_path / "other.yaml").write_text("kind: ConfigMap\n")
    path = written(tmp_path, f"dataDir: /a\nschedulerConfig: {tmp_path}/other.yaml\n")
    assert "want one document of kind KubeSchedulerConfiguration, found 0" in problem(path)
