"""Hashes as Kubernetes' own code makes them.

template_hashes.jsonl.gz holds, a line each, a template in canonical form, sometimes a number of collisions, and both
hashes that the packages k8s.io/api, apimachinery and utils of 1.36.2 gave for it: of every template in the recordings
of tests/oracle, the first two with hashes that the real cluster itself showed, and of made-up ones with every field.
"""

import gzip
import json
import pathlib
from typing import Any

import pytest

from reconciler.controllers.templates import Templates, data_hash
from reconciler.kit import definitions
from reconciler.model.schema import Schemas

TEMPLATES = Templates(Schemas(definitions.load(), definitions.shapes()))
FILE = pathlib.Path(__file__).with_name("template_hashes.jsonl.gz")
VECTORS: list[dict[str, Any]] = [json.loads(line) for line in gzip.decompress(FILE.read_bytes()).splitlines()]


def test_templates_hash_as_kubernetes_hashes_them() -> None:
    assert [one["hash"] for one in VECTORS[:2]] == ["5478c59789", "9df84f956"]  # as kubectl rollout history showed them
    different = [one for one in VECTORS if TEMPLATES.hash(one["template"], one.get("collisions")) != one["hash"]]
    assert len(VECTORS) > 350
    assert not different


def test_data_of_revisions_hashes_as_kubernetes_hashes_it() -> None:
    for one in VECTORS:
        data = {"spec": {"template": {**one["template"], "$patch": "replace"}}}
        assert data_hash(data, one.get("collisions", 0)) == one["data_hash"]


def test_no_collision_is_not_the_same_as_none_counted() -> None:
    template = VECTORS[0]["template"]
    assert len({TEMPLATES.hash(template, collisions) for collisions in (None, 0, 1, 2)}) == 4


PLAIN = {"metadata": {}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ({"metadata": {"creationTimestamp": None}, "spec": PLAIN["spec"]}, True),
        ({"metadata": {}, "spec": {**PLAIN["spec"], "restartPolicy": "Always", "securityContext": {}}}, True),
        ({"metadata": {}, "spec": {"containers": [{"name": "c", "image": "i:1", "resources": {"limits": {}}}]}}, True),
        ({"metadata": {}, "spec": {"containers": [{"name": "c", "image": "i:2"}]}}, False),
        ({"metadata": {"labels": {"a": "b"}}, "spec": PLAIN["spec"]}, False),
        ({"metadata": {}, "spec": "no spec"}, False),
    ],
)
def test_templates_of_other_releases_are_known_again(other: dict[str, Any], is_same: bool) -> None:
    assert TEMPLATES.are_same(PLAIN, other) is is_same
