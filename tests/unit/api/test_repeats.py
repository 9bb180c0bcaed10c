"""Applying the same configuration again."""

from typing import Any

from reconciler.api.repeats import Repeats
from reconciler.model import meta
from tests.unit.api.world import World, config_map, world

CONFIG = {**config_map("c"), "data": {"key": "value"}}


def knew(w: World, monkeypatch: Any) -> list[bool]:
    """What the server answers itself from now on when it asks whether it knows an apply."""
    answers: list[bool] = []
    knows = Repeats.knows

    def asked(self: Repeats, *arguments: Any) -> bool:
        answers.append(knows(self, *arguments))
        return answers[-1]

    monkeypatch.setattr(Repeats, "knows", asked)
    return answers


async def apply(w: World, config: dict[str, Any], **options: Any) -> meta.Obj:
    return (await w.patch("configmaps", "c", config, type="apply", **options)).obj


async def test_what_changed_nothing_is_not_decided_again(monkeypatch: Any) -> None:
    async with world() as w:
        answers = knew(w, monkeypatch)
        first = await apply(w, CONFIG)
        assert [await apply(w, CONFIG) for _ in range(3)] == [first] * 3
        assert answers == [False, True, True]


async def test_another_configuration_object_or_manager_is_decided_on(monkeypatch: Any) -> None:
    async with world() as w:
        await apply(w, CONFIG)
        await apply(w, CONFIG)
        answers = knew(w, monkeypatch)
        assert (await apply(w, {**CONFIG, "data": {"key": "other"}}))["data"] == {"key": "other"}
        assert (await apply(w, CONFIG))["data"] == {"key": "value"}
        await w.patch("configmaps", "c", {"data": {"more": "1"}})
        assert (await apply(w, CONFIG))["data"] == {"key": "value", "more": "1"}
        owners = meta.meta(await apply(w, CONFIG, manager="another"))["managedFields"]
        assert {owner["manager"] for owner in owners} >= {"another"}
        assert answers == [False] * 4


async def test_a_policy_that_came_meanwhile_looks_at_each(monkeypatch: Any) -> None:
    async with world() as w:
        await apply(w, CONFIG)
        await apply(w, CONFIG)
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "default"}}
        await w.create("resourcequotas", {**quota, "spec": {"hard": {"pods": "1"}}})
        answers = knew(w, monkeypatch)
        await apply(w, CONFIG)
        assert answers == [False]
