import pathlib
import tempfile
from collections.abc import AsyncIterator

import pytest

from tests.unit.api.connect import world as worlds


@pytest.fixture
async def world() -> AsyncIterator[worlds.World]:
    with tempfile.TemporaryDirectory() as folder:  # the path of a socket is short
        async with worlds.world(pathlib.Path(folder)) as made:
            yield made
