"""The systemd units: what systemd would complain of."""

import pathlib
import shutil
import subprocess

import pytest

UNITS = sorted((pathlib.Path(__file__).parents[2] / "systemd").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_line_is_a_comment_a_section_or_a_setting_in_one(unit: pathlib.Path) -> None:
    lines = [line for line in unit.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "[Unit]"
    assert [line for line in lines if not line.startswith("[") and "=" not in line] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze comes with systemd")
def test_systemd_finds_nothing_to_say(tmp_path: pathlib.Path) -> None:
    for unit in UNITS:
        text = unit.read_text().replace("/usr/bin/reconciler", "/bin/true").replace("/usr/bin/python3", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / unit.name) for unit in UNITS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "reconciler" in line]
    assert said == []
