"""Whatever a document says, planning gives an answer and never raises."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler import kinds
from reconciler.gitops import identity as identities
from reconciler.gitops import load, marks, plan, review, wanted
from reconciler.kit import definitions
from reconciler.kit import yaml as yamls
from reconciler.loop.snapshot import Snapshot
from reconciler.model.schema import Node, Schemas

ROSTER = kinds.builtin()
SCHEMAS = Schemas(definitions.load(), definitions.shapes())
KINDS = sorted(
    kind.id for kind in ROSTER if {"create", "patch", "list", "watch"} <= set(kind.verbs) and not (kind.custom or kind.stored_as)
)
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "uid": "1"}}

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
junk = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=6
)


@st.composite
def shaped(draw: Any, node: Node, depth: int) -> Any:
    """Something that looks like what the schema wants, with a lie here and there."""
    if depth == 0 or draw(st.integers(0, 7)) == 0:
        return draw(junk)
    if node.properties:
        names = draw(st.lists(st.sampled_from(sorted(node.properties)), max_size=4, unique=True))
        return {name: draw(shaped(child, depth - 1)) for name in names if (child := node.field(name)) is not None}
    if node.type == "array":
        return [draw(shaped(node.item, depth - 1)) for _ in range(draw(st.integers(0, 2)))]
    if node.type == "object" and node.values is not None:
        return {draw(st.text(max_size=5)): draw(shaped(node.values, depth - 1))}
    plain = {"string": st.text(max_size=8), "integer": st.integers(-9, 99), "boolean": st.booleans()}
    return draw(plain.get(node.type, junk))


@pytest.mark.parametrize("kind_id", KINDS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_no_document_raises(kind_id: str, data: st.DataObject) -> None:
    kind = ROSTER[kind_id]
    version = data.draw(st.sampled_from(kind.versions))
    body = data.draw(shaped(SCHEMAS.of(version.schema), 6))
    body = {**(body if isinstance(body, dict) else {}), "apiVersion": kind.api_version(version.name), "kind": kind.kind}
    metadata = body.get("metadata")
    body["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), "name": "x"}
    body["metadata"].pop("namespace", None)
    document = load.Document("a.yaml", 1, body, "d", yamls.Chunk("", 1))
    for field in ("labels", "annotations"):
        if not isinstance(body["metadata"].get(field) or {}, dict):
            del body["metadata"][field]  # load.py refuses these
    review.misfits(document, kind, SCHEMAS)
    identity = identities.Identity(kind.id, "default" if kind.namespaced else "", "x")
    context = plan.Context(
        view=Snapshot.of(ROSTER, [NAMESPACE]),
        roster=ROSTER,
        wanted=wanted.Wanted({identity: document}),
        sync="default",
        ownership=marks.Ownership(SCHEMAS),
    )
    decision = plan.applies(context, [identity])
    assert len(decision.todo.actions) + len(decision.problems) == 1
    live = {"metadata": {"name": "x", "managedFields": [{"manager": marks.MANAGER, "operation": "Apply", "fieldsV1": {}}]}}
    context.view.put(identity.kind, live)  # type: ignore[attr-defined]
    plan.applies(context, [identity])
