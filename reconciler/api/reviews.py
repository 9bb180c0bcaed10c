"""Questions to the server about the asker: who am I, may I. They are kinds that are created and never stored."""

from collections.abc import Callable, Mapping
from typing import Any

from reconciler.api.auth import authorisation
from reconciler.api.calls import User
from reconciler.model import errors
from reconciler.model.kind import Kind, Version


def _kind(group: str, kind: str) -> Kind:
    definition = f"io.k8s.api.{group.split('.')[0]}.v1.{kind}"
    plural = kind.lower() + "s"
    return Kind(
        group=group,
        kind=kind,
        plural=plural,
        singular=kind.lower(),
        namespaced=False,
        versions=(Version(name="v1", schema=definition),),
        verbs=("create",),
    )


KINDS = (_kind("authentication.k8s.io", "SelfSubjectReview"), _kind("authorization.k8s.io", "SelfSubjectAccessReview"))

Answerer = Callable[[User, Mapping[str, Any], authorisation.Authoriser], dict[str, Any]]
_ASKED = frozenset({"verb", "path", "group", "resource", "subresource", "namespace", "name"})


def self_subject_review(user: User, _: Mapping[str, Any], __: authorisation.Authoriser) -> dict[str, Any]:
    info: dict[str, Any] = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return {
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {},
        "status": {"userInfo": info},
    }


def self_subject_access_review(user: User, body: Mapping[str, Any], authoriser: authorisation.Authoriser) -> dict[str, Any]:
    spec = body.get("spec") or {}
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise errors.invalid_object("", "authorization.k8s.io", "", [errors.invalid("spec.resourceAttributes", None, detail)])
    wanted = {key: str(value) for key, value in (resource or path or {}).items() if key in _ASKED}
    asked = authorisation.Asked(**{"verb": "", "path": "", **wanted})
    return {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": dict(spec),
        "status": {"allowed": authoriser(user, asked)},
    }


ANSWERERS: Mapping[str, Answerer] = {
    "selfsubjectreviews.authentication.k8s.io": self_subject_review,
    "selfsubjectaccessreviews.authorization.k8s.io": self_subject_access_review,
}
