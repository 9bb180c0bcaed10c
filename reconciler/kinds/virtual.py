"""Kinds that are asked and answered but never stored: reviews, bindings, component statuses.

The API server answers them itself; a record here makes them discoverable and says what their bodies look like.
"""

from reconciler.kinds import columns
from reconciler.model.kind import Kind, Version

AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"


def _review(group: str, kind: str, namespaced: bool = False) -> Kind:
    return Kind(
        group=group,
        kind=kind,
        plural=kind.lower() + "s",
        singular=kind.lower(),
        namespaced=namespaced,
        versions=(Version(name="v1", schema=f"io.k8s.api.{group.split('.')[0]}.v1.{kind}"),),
        verbs=("create",),
        name_rule="path",
    )


KINDS = (
    _review(AUTHENTICATION, "TokenReview"),
    _review(AUTHENTICATION, "SelfSubjectReview"),
    _review(AUTHORIZATION, "SubjectAccessReview"),
    _review(AUTHORIZATION, "SelfSubjectAccessReview"),
    _review(AUTHORIZATION, "SelfSubjectRulesReview"),
    _review(AUTHORIZATION, "LocalSubjectAccessReview", namespaced=True),
    Kind(
        group="",
        kind="Binding",
        plural="bindings",
        singular="binding",
        versions=(Version(name="v1", schema="io.k8s.api.core.v1.Binding"),),
        verbs=("create",),
    ),
    Kind(
        group="",
        kind="ComponentStatus",
        plural="componentstatuses",
        singular="componentstatus",
        called="componentstatus",
        short_names=("cs",),
        namespaced=False,
        versions=(
            Version(name="v1", schema="io.k8s.api.core.v1.ComponentStatus", deprecation="v1 ComponentStatus is deprecated in v1.19+"),
        ),
        verbs=("get", "list"),
        columns=(
            columns.NAME,
            columns.column("Status", lambda c: "", "Status of the component conditions"),
            columns.column("Message", lambda c: "", "Message of the component conditions"),
            columns.column("Error", lambda c: "", "Error of the component conditions"),
        ),
    ),
)
