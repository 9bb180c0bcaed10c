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


async def test_pages_of_a_revision_are_exactly_of_it() -> None:
    async with world() as w:
        first = await w.create("configmaps", config_map("a"))
        await w.create("configmaps", config_map("b"))
        assert names(await page(w)) == "ab"
        found = await page(w, revision=meta.revision(first), limit=5)
        assert (names(found), found.revision) == ("a", meta.revision(first))
        assert names(await page(w, revision=meta.revision(first), limit=5, match="NotOlderThan")) == "ab"
        assert names(await page(w, revision=meta.revision(first))) == "ab"


async def expired(w: World, **request: object) -> str:
    """The token that the refusal of a page holds."""
    with pytest.raises(errors.StatusError, match="too old to display a consistent list") as refused:
        await page(w, **request)
    assert refused.value.code == 410
    token = refused.value.status()["metadata"]["continue"]
    assert isinstance(token, str)
    assert errors.StatusError.from_status(refused.value.status()).continue_token == token
    return token


async def test_behind_a_compacted_page_one_goes_on_with_what_is_there_now() -> None:
    async with world() as w:
        for name in "abcd":
            await w.create("configmaps", config_map(name))
        token = (await page(w, limit=2)).token
        await w.delete("configmaps", "c")
        await w.create("configmaps", config_map("aa"))
        await w.create("configmaps", config_map("e"))
        await w.journal.compact(w.journal.revision)
        fresh = await expired(w, limit=1, token=token)
        rest = await page(w, limit=1, token=fresh)
        assert (names(rest), rest.revision) == ("d", w.journal.revision)
        await w.create("configmaps", config_map("f"))
        last = await page(w, token=rest.token)
        assert (names(last), last.revision) == ("e", rest.revision)


async def test_a_list_expires_that_was_begun_long_ago() -> None:
    async with world() as w:
        for name in "abc":
            await w.create("configmaps", config_map(name))
        first = await page(w, limit=1, now=1000.0)
        second = await page(w, limit=1, token=first.token, now=1000.0 + paging.PAGES_SECONDS)
        assert names(second) == "b"
        fresh = await expired(w, token=second.token, now=1001.0 + paging.PAGES_SECONDS)
        assert names(await page(w, token=fresh, now=1001.0 + paging.PAGES_SECONDS)) == "c"


async def test_a_token_has_its_own_revision() -> None:
    async with world() as w:
        for name in "ab":
            await w.create("configmaps", config_map(name))
        token = (await page(w, limit=1)).token
        assert names(await page(w, token=token, revision=0)) == "b"
        with pytest.raises(errors.StatusError, match="specifying resource version is not allowed when using continue"):
            await page(w, token=token, revision=1)


@pytest.mark.parametrize("token", ["%%%", "abc", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi94In0"])
async def test_tokens_of_others_are_refused(token: str) -> None:
    async with world() as w:
        with pytest.raises(errors.StatusError, match="continue key is not valid"):
            await page(w, token=token)
