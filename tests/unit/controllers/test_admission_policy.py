"""What the status of a ValidatingAdmissionPolicy says of expressions that do not fit the objects they are about."""

from typing import Any

import pytest

from reconciler import controllers, kinds
from reconciler.controllers import admissionpolicy
from reconciler.kit import definitions
from reconciler.loop.snapshot import Snapshot
from reconciler.model.schema import Schemas

SCHEMAS = Schemas(definitions.load(), definitions.shapes())
(CONTROLLER,) = admissionpolicy.of(controllers.Facts(schemas=SCHEMAS))


def warnings(resources: list[str], expression: str, **spec: Any) -> list[dict[str, str]]:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": resources}
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "p", "generation": 1},
        "spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": expression}], **spec},
    }
    (action,) = CONTROLLER.plan(Snapshot.of(kinds.builtin(), [policy], None), ("", "p"), 0.0).actions
    found: list[dict[str, str]] = action.body["status"]["typeChecking"].get("expressionWarnings", [])
    return found


@pytest.mark.parametrize(
    "expression",
    [
        "object.spec.template.spec.containers.all(c, has(c.resources) && c.image.startsWith('x'))",
        "object.metadata.labels['a'] == 'b' && object.spec.strategy.rollingUpdate.maxSurge == '25%'",
        "object.spec.template.spec.containers[0].resources.limits['cpu'] == '1'",
        "object.metadata.creationTimestamp > timestamp('2026-01-01T00:00:00Z')",
        "oldObject == null || oldObject.spec.replicas == object.spec.replicas",
        "request.namespace != namespaceObject.metadata.name",
    ],
)
def test_what_fits_is_not_warned_of(expression: str) -> None:
    assert warnings(["deployments"], expression) == []


def test_each_kind_that_does_not_fit_is_named() -> None:
    (found,) = warnings(["deployments", "daemonsets", "statefulsets/scale"], "object.spec.replicas < 5")
    assert found["fieldRef"] == "spec.validations[0].expression"
    assert found["warning"].startswith("apps/v1, Kind=DaemonSet: ERROR: <input>:1:12: undefined field 'replicas'\n | object")
    assert found["warning"].endswith("^\n")
    assert "Deployment" not in found["warning"]


def test_variables_have_the_types_of_their_expressions() -> None:
    variables = [{"name": "names", "expression": "object.spec.template.spec.containers.map(c, c.name)"}]
    assert warnings(["deployments"], "variables.names.all(n, n != '')", variables=variables) == []
    (found,) = warnings(["deployments"], "variables.names.all(n, n > 3)", variables=variables)
    assert "found no matching overload for '_>_' applied to '(string, int)'" in found["warning"]


def test_wildcards_and_unknown_kinds_are_not_looked_at() -> None:
    assert warnings(["*"], "object.nothing") == []
    assert warnings(["gadgets"], "object.nothing") == []
