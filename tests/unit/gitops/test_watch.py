"""The watch over real directories and watchdog's thread."""

import asyncio
import contextlib
import ctypes
import errno
import os
import pathlib
from collections.abc import AsyncIterator

import pytest
from watchdog.observers import inotify_c

from reconciler.gitops import watch
from reconciler.kit import clock as clocks

PATIENCE_SECONDS = 20.0


class Watched:
    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.clock = clocks.VirtualClock()
        self.watch = watch.Watch(self.changed.set, self.clock)

    def follow(self, *places: watch.Place) -> tuple[bool, str]:
        return self.watch.follow(places)

    async def notices(self) -> None:
        """Return once something was noticed since the last call."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.changed.wait()
        self.changed.clear()


@contextlib.asynccontextmanager
async def watching(*places: watch.Place) -> AsyncIterator[Watched]:
    watched = Watched()
    try:
        assert watched.follow(*places) == (bool(places), "")
        yield watched
    finally:
        watched.watch.close()


def place(path: pathlib.Path, *names: str) -> watch.Place:
    status = path.stat()
    return watch.Place(str(path), (status.st_dev, status.st_ino), frozenset(names))


async def test_every_kind_of_save_is_noticed(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "a.yaml"
    async with watching(place(tmp_path)) as watched:
        file.write_text("1")
        await watched.notices()
        file.write_text("2")
        await watched.notices()
        (tmp_path / "new").write_text("3")
        (tmp_path / "new").replace(file)
        await watched.notices()
        file.chmod(0o600)
        await watched.notices()
        file.unlink()
        await watched.notices()


async def test_only_the_named_entries_matter(tmp_path: pathlib.Path) -> None:
    async with watching(place(tmp_path, "root")) as watched:
        with (tmp_path / "other").open("w") as file:
            file.write("half")
            file.flush()
            (tmp_path / "root").symlink_to("other")
            await watched.notices()
            # Events come in order: what happened to "other" was passed over before "root" was noticed.
            assert not watched.watch.is_written()


async def test_what_is_no_longer_followed_is_not_noticed(tmp_path: pathlib.Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    async with watching(place(one), place(two)) as watched:
        assert watched.follow(place(two)) == (False, "")
        assert watched.follow(place(two), place(one)) == (True, "")
        assert watched.follow(place(two)) == (False, "")
        with (one / "a").open("w") as file:
            file.write("half")
            file.flush()
            (two / "b").mkdir()
            await watched.notices()
            assert not watched.watch.is_written()


async def test_one_directory_may_be_in_two_places(tmp_path: pathlib.Path) -> None:
    root, link = tmp_path / "root", tmp_path / "link"
    root.mkdir()
    link.symlink_to("root")
    async with watching(place(root), place(link), place(root, "b")) as watched:
        watched.follow(place(link))
        (root / "a").write_text("1")
        await watched.notices()


async def test_a_directory_that_is_moved_away_and_one_made_anew(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    async with watching(place(tmp_path), place(folder)) as watched:
        folder.rename(tmp_path / "away")
        await watched.notices()
        assert watched.follow(place(tmp_path)) == (False, "")
        folder.mkdir()
        assert watched.follow(place(tmp_path), place(folder)) == (True, "")
        inode = place(folder).inode
        folder.rmdir()
        (tmp_path / "seen").touch()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not watched.watch._ears[watch.Place(str(folder), inode)].is_deaf:
                await watched.notices()
        folder.mkdir()
        # The same path, and where the file system gives the same inode again, the same place: watched anew all the same.
        assert watched.follow(place(tmp_path), watch.Place(str(folder), inode)) == (True, "")
        watched.changed.clear()
        (folder / "a").write_text("1")
        await watched.notices()


async def test_many_directories_made_at_once_raise_no_warning(tmp_path: pathlib.Path) -> None:
    """watchdog's own recursive watches warn of these and, where warnings are errors, go deaf."""
    async with watching(place(tmp_path)) as watched:
        for number in range(50):
            os.makedirs(tmp_path / str(number) / "a/b/c")
            watched.follow(*(place(pathlib.Path(top)) for top, _, _ in os.walk(tmp_path)))
        await watched.notices()
        (tmp_path / "49/a/b/c/file").write_text("1")
        await watched.notices()


async def test_a_file_is_written_until_it_is_closed(tmp_path: pathlib.Path) -> None:
    async with watching(place(tmp_path)) as watched:
        with (tmp_path / "a").open("w") as file:
            file.write("half")
            file.flush()
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not watched.watch.is_written():
                    await watched.notices()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while watched.watch.is_written():
                await watched.notices()


async def test_a_file_that_is_never_closed_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    async with watching(place(tmp_path)) as watched:
        with (tmp_path / "a").open("w") as file:
            file.write("half")
            file.flush()
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not watched.watch.is_written():
                    await watched.notices()
            watched.clock.advance(watch.WRITE_SECONDS + 0.01)
            assert not watched.watch.is_written()


async def test_lost_events_call_for_a_look(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = inotify_c.InotifyEvent(inotify_c.WatchDescriptor(-1), inotify_c.InotifyConstants.IN_Q_OVERFLOW, 0, b"")
    read = inotify_c.InotifyFD.read_events
    monkeypatch.setattr(inotify_c.InotifyFD, "read_events", lambda queue: [lost for _ in read(queue)])
    async with watching(place(tmp_path)) as watched:
        (tmp_path / "a").touch()
        await watched.notices()


@pytest.mark.parametrize(
    ("code", "reason"),
    [(errno.ENOSPC, "no watches left, raise fs.inotify.max_user_watches"), (errno.EACCES, "Permission denied"), (errno.ENOENT, "")],
)
async def test_what_cannot_be_watched_is_told(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str) -> None:
    def refuse(descriptor: int, path: bytes, mask: int) -> int:
        ctypes.set_errno(code)
        return -1

    async with watching() as watched:
        with monkeypatch.context() as patches:
            patches.setattr(inotify_c, "inotify_add_watch", refuse)
            has_new, told = watched.follow(place(tmp_path))
        assert told == (f"{tmp_path} cannot be watched: {reason}" if reason else "")
        assert has_new == (not reason)
        assert watched.follow(place(tmp_path)) == (True, "")


async def test_no_instance_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        ctypes.set_errno(errno.EMFILE)
        return -1

    monkeypatch.setattr(inotify_c, "inotify_init", refuse)
    watched = Watched()
    assert watched.follow() == (False, "the folder cannot be watched: no inotify instances left, raise fs.inotify.max_user_instances")
    watched.watch.close()
