"""Upstream's words for values that a strategic patch put where they do not fit."""

from typing import Any

import pytest

from reconciler.kit import definitions
from reconciler.model import patch
from reconciler.model.schema import Schemas

NODE = Schemas(definitions.load(), definitions.shapes()).of("io.k8s.api.apps.v1.Deployment")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 2.0, "paused": None}}, ""),
        ({"metadata": {"annotations": {"a": 1}}}, "cannot convert int64 to string"),
        ({"metadata": {"labels": "x"}}, "cannot restore map from string"),
        ({"metadata": "x"}, "cannot restore struct from: string"),
        ({"spec": ["x"]}, "cannot restore struct from: slice"),
        ({"spec": {"replicas": "x"}}, "unrecognized type: int32"),
        ({"spec": {"replicas": 1.5}}, "cannot convert float64 to int32"),
        ({"spec": {"replicas": {}}}, "unrecognized type: int32"),
        ({"spec": {"paused": 1}}, "unrecognized type: bool"),
        ({"spec": {"template": {"spec": {"containers": {"a": "b"}}}}}, "cannot restore slice from map"),
        ({"spec": {"template": {"spec": {"containers": [{"name": 5}]}}}}, "cannot convert int64 to string"),
        ({"spec": {"template": {"spec": {"restartPolicy": 5}}}}, "cannot convert int64 to v1.RestartPolicy"),
        ({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 5}}}}, ""),
    ],
)
def test_misfits(value: Any, message: str) -> None:
    assert patch.misfit(NODE, value) == message
