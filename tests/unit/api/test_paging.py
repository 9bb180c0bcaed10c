"""LIST: pages that stay consistent while others write."""

import pytest

from reconciler.api import paging
from reconciler.model import errors, meta
from tests.unit.api.world import World, config_map, world


async def page(w: World, **request: object) -> paging.Page:
    kind = w.server.roster["configmaps"]
    return await paging.page(w.server.cache, kind, "default", paging.Request(**request))  # type: ignore[arg-type]


def names(found: paging.Page) -> str:
    return "".join(meta.name(item.obj) for item in found.items)


async def test_later_pages_show_the_revision_of_the_first() -> None:
    async with world() as w:
        for name in "abcde":
            await w.create("configmaps", config_map(name))
        first = await page(w, limit=2)
        assert (names(first), first.remaining) == ("ab", 3)
        await w.delete("configmaps", "c")
        await w.create("configmaps", config_map("bb"))
        second = await page(w, limit=2, token=first.token)
        assert (names(second), second.revision) == ("cd", first.revision)
        assert names(await page(w, token=second.token)) == "e"


async def test_an_exact_revision_comes_from_history() -> None:
    async with world() as w:
        first = await w.create("configmaps", config_map("a"))
        second = await w.create("configmaps", config_map("b"))
        assert names(await page(w, revision=meta.revision(first), match="Exact")) == "a"
        assert names(await page(w, revision=meta.revision(second), match="NotOlderThan")) == "ab"


async def test_a_compacted_page_is_expired() -> None:
    async with world() as w:
        for name in "abc":
            await w.create("configmaps", config_map(name))
        token = (await page(w, limit=1)).token
        await w.create("configmaps", config_map("d"))
        await w.journal.compact(w.journal.revision)
        with pytest.raises(errors.StatusError) as refused:
            await page(w, limit=1, token=token)
        assert refused.value.code == 410


@pytest.mark.parametrize("token", ["%%%", "abc", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi94In0"])
async def test_tokens_of_others_are_refused(token: str) -> None:
    async with world() as w:
        with pytest.raises(errors.StatusError, match="continue key is not valid"):
            await page(w, token=token)
