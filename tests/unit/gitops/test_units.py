"""Which directories of a folder are kustomizations of their own, and how they are followed."""

import argparse
import os
import pathlib
import subprocess
import time

import pytest

from reconciler.cli import render
from reconciler.gitops import folder
from tests.unit.gitops.world import config, running

OLD_SECONDS = 10


def write(root: pathlib.Path, path: str, text: str) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    settled = time.time() - OLD_SECONDS
    os.utime(target, (settled, settled))


def names(scan: folder.Scan) -> dict[str, list[str]]:
    return {path: [document.body["metadata"]["name"] for document in file.documents] for path, file in scan.files.items()}


def problems(scan: folder.Scan) -> list[str]:
    return [str(problem) for file in scan.files.values() for problem in file.problems]


def overlays(root: pathlib.Path) -> None:
    write(root, "plain/c.yaml", config("plain"))
    write(root, "app/base/kustomization.yaml", "resources: [c.yaml]\n")
    write(root, "app/base/c.yaml", config("c"))
    write(root, "app/comp/kustomization.yaml", "kind: Component\nnameSuffix: -x\n")
    for name in ("dev", "prod"):
        write(root, f"app/{name}/kustomization.yaml", f"resources: [../base]\ncomponents: [../comp]\nnamePrefix: {name}-\n")


def test_bases_and_components_do_not_stand_for_themselves(tmp_path: pathlib.Path) -> None:
    overlays(tmp_path)
    found = names(folder.Folder(tmp_path).scan())
    assert found == {
        "plain/c.yaml": ["plain"],
        "app/dev/kustomization.yaml": ["dev-c-x"],
        "app/prod/kustomization.yaml": ["prod-c-x"],
    }


def test_below_a_kustomization_only_what_it_names_is_applied(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "kustomization.yaml", "resources: [used]\n")
    for name in ("used", "unused"):
        write(tmp_path, f"{name}/kustomization.yaml", "resources: [c.yaml]\n")
        write(tmp_path, f"{name}/c.yaml", config(name))
    write(tmp_path, "loose.yaml", config("loose"))
    assert names(folder.Folder(tmp_path).scan()) == {"kustomization.yaml": ["used"]}


def test_an_overlay_below_its_base_is_what_is_applied(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "app/kustomization.yaml", "resources: [c.yaml]\n")
    write(tmp_path, "app/c.yaml", config("c"))
    write(tmp_path, "app/prod/kustomization.yaml", "resources: [..]\nnamePrefix: p-\n")
    assert names(folder.Folder(tmp_path).scan()) == {"app/prod/kustomization.yaml": ["p-c"]}


def test_a_broken_overlay_does_not_set_its_base_free(tmp_path: pathlib.Path) -> None:
    overlays(tmp_path)
    followed = folder.Folder(tmp_path)
    followed.scan()
    for name in ("dev", "prod"):
        write(tmp_path, f"app/{name}/kustomization.yaml", "resources: [../base\n")
    for scan in (followed.scan(), folder.Folder(tmp_path).scan()):
        assert names(scan) == {"plain/c.yaml": ["plain"], "app/dev/kustomization.yaml": [], "app/prod/kustomization.yaml": []}
        assert len(problems(scan)) == 2


def test_a_base_elsewhere_in_the_checkout(tmp_path: pathlib.Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    write(tmp_path, "base/kustomization.yaml", "resources: [c.yaml]\n")
    write(tmp_path, "base/c.yaml", config("c"))
    write(tmp_path, "clusters/one/kustomization.yaml", "resources: [../../base]\n")
    scan = folder.Folder(tmp_path / "clusters/one").scan()
    (document,) = scan.files["kustomization.yaml"].documents
    assert (document.source, document.home) == ("../../base/c.yaml:1", "kustomization.yaml")
    assert str(tmp_path / "base") in scan.directories
    write(tmp_path, "clusters/one/kustomization.yaml", "resources: [../../../outside]\n")
    (problem,) = problems(folder.Folder(tmp_path / "clusters/one").scan())
    assert problem.startswith("kustomization.yaml:1:13: resources[0]: ../../../outside lies outside the folder that is followed")


@pytest.mark.parametrize(
    ("kustomization", "expected"),
    [
        ("resources: [../secret.yaml]", "kustomization.yaml:1:13: resources[0]: ../secret.yaml lies outside the folder"),
        ("resources: [gone.yaml]", "kustomization.yaml:1:13: resources[0]: gone.yaml does not exist"),
        ("resources: ['https://example.com/x']", "https://example.com/x is remote, and nothing is fetched while building"),
        ("resources: [github.com/org/repo]", "github.com/org/repo is remote"),
        ("namePrefix: 1", "kustomization.yaml:1:1: namePrefix: Input should be a valid string"),
        ("resource: [a]", "kustomization.yaml:1:1: resource: there is no such field"),
        ("helmCharts: []", "kustomization.yaml:1:1: helmCharts: Helm charts are not rendered"),
        ("resources: [.]", "is built upon this kustomization itself"),
        ("resources: [c.yaml, c.yaml]", "is defined twice, at c.yaml:1 and c.yaml:1"),
        ("resources: [broken.yaml, gone.yaml]", "broken.yaml:2:1: "),
        (
            "resources: [c.yaml]\nreplicas: [{name: x, count: 1}]",
            "kustomization.yaml:2:12: replicas[0]: no resource of these kinds is called x",
        ),
        ("resources: [c.yaml]\npatches: [{path: p.yaml}]", "p.yaml:1:1: there is no Deployment default/x in apps/v1 to be patched"),
        (
            "resources: [c.yaml]\npatches: [{path: o.yaml, target: {kind: ConfigMap}}]",
            "o.yaml:2:3: [1]: operation 1 (remove /x) does not apply",
        ),
        ("configMapGenerator: [{name: a, files: [gone]}]", "kustomization.yaml:1:40: configMapGenerator[0].files[0]: gone does not exist"),
        ("configMapGenerator: [{name: a, behavior: merge}]", "there is no ConfigMap default/a to merge"),
        ("resources: [link.yaml]", "link.yaml is not at or below the directory of this file"),
    ],
)
def test_errors_have_their_place(tmp_path: pathlib.Path, kustomization: str, expected: str) -> None:
    root = tmp_path / "root"
    write(root, "c.yaml", config("c"))
    write(tmp_path, "secret.yaml", config("secret"))
    write(root, "broken.yaml", "a: [\n")
    write(root, "p.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n")
    write(root, "o.yaml", "- {op: add, path: /metadata/labels, value: {}}\n- {op: remove, path: /x}\n")
    (root / "link.yaml").symlink_to("../secret.yaml")
    write(root, "kustomization.yaml", kustomization + "\n")
    scan = folder.Folder(root).scan()
    assert names(scan) == {"kustomization.yaml": []}
    assert any(expected in problem for problem in problems(scan)), problems(scan)


def test_only_what_changed_is_built_again(tmp_path: pathlib.Path) -> None:
    overlays(tmp_path)
    followed = folder.Folder(tmp_path)
    before = followed.scan().files
    assert followed.scan().files["app/dev/kustomization.yaml"].documents == before["app/dev/kustomization.yaml"].documents
    write(tmp_path, "app/dev/kustomization.yaml", "resources: [../base]\nnamePrefix: other-\n")
    after = followed.scan().files
    assert names(folder.Scan(after))["app/dev/kustomization.yaml"] == ["other-c"]
    write(tmp_path, "app/base/c.yaml", config("renamed"))
    assert names(followed.scan())["app/prod/kustomization.yaml"] == ["prod-renamed-x"]


async def test_a_unit_is_applied_and_followed(tmp_path: pathlib.Path) -> None:
    overlays(tmp_path)
    write(tmp_path, "app/dev/settings.ini", "a=1\n")
    write(tmp_path, "app/dev/kustomization.yaml", "resources: [../base]\nconfigMapGenerator: [{name: g, files: [settings.ini]}]\n")
    async with running(tmp_path) as world:
        found = await world.get("configmaps", "c")
        assert found is not None
        assert found["metadata"]["annotations"]["reconciler.dev/source"] == "app/dev/kustomization.yaml"
        assert [action.why for action in world.writes if action.why.startswith("app/base/c.yaml:1")]
        old = {name for name in _names(world) if name.startswith("g-")}
        world.write("app/dev/settings.ini", "a=2\n")
        await world.until(lambda: len(new := {name for name in _names(world) if name.startswith("g-")}) == 1 and new != old, "another hash")
        world.write("app/dev/kustomization.yaml", "resources: [../base]\nconfigMapGenerator: [{name: g, files: [gone.ini]}]\n")
        await world.until(
            lambda: world.errors() == ["app/dev/kustomization.yaml:2:40: configMapGenerator[0].files[0]: gone.ini does not exist"]
        )
        assert await world.get("configmaps", "c") is not None


def _names(world: object) -> set[str]:
    return {obj["metadata"]["name"] for obj in world.cache.by("configmaps", "namespace", "default")}  # type: ignore[attr-defined]


def test_render(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    overlays(tmp_path)
    assert render.run(argparse.Namespace(folder=tmp_path)) == 0
    assert capsys.readouterr().out.startswith("---\n# app/base/c.yaml:1 by app/dev/kustomization.yaml\napiVersion: v1\nkind: ConfigMap\n")
    write(tmp_path, "plain/broken.yaml", "a: [\n")
    assert render.run(argparse.Namespace(folder=tmp_path)) == 1
    assert "plain/broken.yaml:2:1: " in capsys.readouterr().err
