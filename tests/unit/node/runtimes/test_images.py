"""What an image name stands for, and root file systems that the user brings."""

import io
import json
import os
import pathlib
import tarfile

import pytest

from reconciler.node.runtimes import archive, images, types


def made(tmp_path: pathlib.Path, *, host_images: bool = False, **configured: str) -> images.Images:
    return images.Images(tmp_path / "data", configured, host_images=host_images)


def tar_of(path: pathlib.Path, files: dict[str, bytes]) -> pathlib.Path:
    with tarfile.open(path, "w") as tar:
        for name, contents in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))
    return path


def test_names() -> None:
    assert images.normal("docker.io/library/nginx:latest") == "nginx"
    assert images.normal("ghcr.io/a/b:1") == "ghcr.io/a/b:1"


def test_what_is_not_here_says_what_to_do(tmp_path: pathlib.Path) -> None:
    with pytest.raises(types.RuntimeFailure, match="--host-images") as caught:
        made(tmp_path).resolve("nginx:1.27", ("sleep",))
    assert caught.value.reason == "ErrImagePull"
    with pytest.raises(types.RuntimeFailure, match="invalid reference format"):
        made(tmp_path).resolve("a b", ())


def test_host_and_host_images(tmp_path: pathlib.Path) -> None:
    assert made(tmp_path).resolve("host", ()).lower == ("/",)
    hosted = made(tmp_path, host_images=True)
    assert hosted.resolve("whatever:1", ("sleep", "1")).is_host
    assert hosted.resolve("example.org/tools/sleep:9", ()).command == ("sleep",)
    with pytest.raises(types.RuntimeFailure, match="found no program no-such-thing"):
        hosted.resolve("no-such-thing", ())


def test_a_configured_folder(tmp_path: pathlib.Path) -> None:
    (tmp_path / "root").mkdir()
    assert made(tmp_path, app=str(tmp_path / "root")).resolve("app:latest", ()).lower == (str(tmp_path / "root"),)
    with pytest.raises(types.RuntimeFailure, match="does not exist"):
        made(tmp_path, app=str(tmp_path / "absent")).resolve("app", ())


def test_a_plain_tar(tmp_path: pathlib.Path) -> None:
    source = tar_of(tmp_path / "root.tar", {"etc/motd": b"hi"})
    found = made(tmp_path, app=str(source)).resolve("app", ())
    assert (pathlib.Path(found.lower[0]) / "etc/motd").read_bytes() == b"hi"


def test_what_is_not_used_goes_if_it_can_be_had_again(tmp_path: pathlib.Path) -> None:
    tars = {name: tar_of(tmp_path / f"{name}.tar", {"name": name.encode()}) for name in ("used", "unused", "lost")}
    (tmp_path / "root").mkdir()
    found = made(tmp_path, folder=str(tmp_path / "root"), **{name: str(path) for name, path in tars.items()})
    layers = {name: pathlib.Path(found.resolve(name, ()).lower[0]) for name in tars}
    tars["lost"].unlink()
    assert found.remove_unused({found.resolve("used", ()).id}) == ["unused"]
    assert [name for name, layer in layers.items() if layer.exists()] == ["used", "lost"]
    assert (pathlib.Path(found.resolve("unused", ()).lower[0]) / "name").read_bytes() == b"unused"
    assert found.resolve("folder", ()).lower == (str(tmp_path / "root"),)


def test_docker_save_with_layers_and_configuration(tmp_path: pathlib.Path) -> None:
    layers = [tar_of(tmp_path / "0.tar", {"a": b"1"}).read_bytes(), tar_of(tmp_path / "1.tar", {"b": b"2"}).read_bytes()]
    config = {"config": {"Entrypoint": ["/run"], "Cmd": ["x"], "Env": ["A=b=c"], "WorkingDir": "/w", "User": "7:8"}}
    manifest = [{"Config": "config.json", "Layers": ["0/layer.tar", "1/layer.tar"]}]
    files = {"manifest.json": json.dumps(manifest).encode(), "config.json": json.dumps(config).encode()}
    source = tar_of(tmp_path / "image.tar", {**files, "0/layer.tar": layers[0], "1/layer.tar": layers[1]})
    found = made(tmp_path).load("app", source)
    assert [os.listdir(layer) for layer in found.lower] == [["b"], ["a"]]
    assert (found.entrypoint, found.command, found.env) == (("/run",), ("x",), (("A", "b=c"),))
    assert made(tmp_path).resolve("app", ()).user == "7:8"


@pytest.mark.parametrize("name", ["../escape", "a/../../escape"])
def test_members_that_leave_are_refused(tmp_path: pathlib.Path, name: str) -> None:
    source = tar_of(tmp_path / "evil.tar", {name: b"x"})
    with pytest.raises(archive.BadArchive, match="leaves the archive"):
        archive.load(tmp_path / "images", "evil", source)
    assert archive.find(tmp_path / "images", "evil") is None


def test_links_do_not_lead_out(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
        member = tarfile.TarInfo("link/escaped")
        tar.addfile(member, io.BytesIO(b""))
    with pytest.raises(archive.BadArchive, match="leaves the archive"):
        archive.load(tmp_path / "images", "evil", path)
    assert not (tmp_path / "escaped").exists()
