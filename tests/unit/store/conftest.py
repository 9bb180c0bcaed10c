"""A file system that fails when told, and journals on it."""

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import pytest

from reconciler.kit.clock import VirtualClock
from reconciler.store.local import LocalJournal


class Faults(apsw.VFS):
    """SQLite's own file system with errors put in front of some calls."""

    def __init__(self) -> None:
        self.base = apsw.vfs_names()[0]
        super().__init__("faults", self.base, makedefault=True)
        self.on_sync: int | None = None  # extended result codes
        self.on_write: int | None = None
        self.only = ""  # the end of the names of the files that fail
        self.syncs = 0
        self.noting = threading.Lock()
        self.synced: dict[str, bytes] = {}  # name -> content, what a power failure leaves at the least

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self.synced.pop(Path(filename).name, None)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return File(self, name, flags)


class File(apsw.VFSFile):
    def __init__(self, faults: Faults, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(faults.base, name, flags)
        self.faults = faults
        self.name = name.filename() if isinstance(name, apsw.URIFilename) else name or ""

    def xSync(self, flags: int) -> None:
        self.faults.syncs += 1
        self._fail(self.faults.on_sync)
        super().xSync(flags)
        with self.faults.noting:  # the writer and the checkpointer sync the same log: what was read first must not win
            self.faults.synced[Path(self.name).name] = Path(self.name).read_bytes()

    def xWrite(self, data: bytes, offset: int) -> None:
        self._fail(self.faults.on_write)
        super().xWrite(data, offset)

    def _fail(self, code: int | None) -> None:
        if code is not None and self.name.endswith(self.faults.only):
            error = apsw.exception_for(code)
            error.extendedresult = code  # type: ignore[attr-defined]
            raise error


@pytest.fixture
def faults() -> Iterator[Faults]:
    shim = Faults()
    yield shim
    apsw.set_default_vfs(shim.base)
    shim.unregister()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def journal(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[LocalJournal]:
    opened = await LocalJournal.open(tmp_path / "journal", clock)
    yield opened
    await opened.close()
