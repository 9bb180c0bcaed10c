"""Questions to the server: who is this, may they do that. Kinds that are created, answered and never stored.

The rules of what may be asked are k8s.io/kubernetes/pkg/apis/authorization/validation and the registries'.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from reconciler.api import identity
from reconciler.api.auth import accounts, authentication, authorisation, rbac
from reconciler.api.bodies import Body
from reconciler.api.calls import Call, User
from reconciler.api.decoding import Decoder
from reconciler.api.ownership import Owners
from reconciler.kit import clock
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError

AUTHORIZATION = "authorization.k8s.io"
_RESOURCE = frozenset({"verb", "group", "resource", "subresource", "namespace", "name"})
ONE_OF = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


class Reviews:
    """`tokens` are the static ones; service accounts' are asked of `issued`."""

    def __init__(
        self,
        decoder: Decoder,
        owners: Owners,
        authoriser: rbac.Rbac,
        tokens: authentication.Tokens,
        issued: accounts.Accounts,
        time: clock.Clock,
    ) -> None:
        self._decoder = decoder
        self._owners = owners
        self._rbac = authoriser
        self._tokens = tokens
        self._issued = issued
        self._time = time
        self._answers: Mapping[str, Callable[[Call, meta.Obj], dict[str, Any]]] = {
            "selfsubjectreviews.authentication.k8s.io": self._self_subject_review,
            "selfsubjectaccessreviews.authorization.k8s.io": self._self_subject_access_review,
            "selfsubjectrulesreviews.authorization.k8s.io": self._self_subject_rules_review,
            "subjectaccessreviews.authorization.k8s.io": self._subject_access_review,
            "localsubjectaccessreviews.authorization.k8s.io": self._subject_access_review,
            "tokenreviews.authentication.k8s.io": self._token_review,
        }

    def answers(self, kind_id: str) -> bool:
        return kind_id in self._answers

    def answer(self, call: Call, body: Body) -> dict[str, Any]:
        """The review with its status. Raises StatusError."""
        now = clock.rfc3339(self._time.now())
        obj = self._owners.created(call, identity.unsent(self._decoder.decode(call, body.value or {}, body.duplicates)), now)
        if call.kind.kind == "SelfSubjectReview":
            obj = meta.put(obj, ("metadata", "creationTimestamp"), now)
        return {**obj, "status": self._answers[call.kind.id](call, obj)}

    def _self_subject_review(self, call: Call, _: meta.Obj) -> dict[str, Any]:
        return {"userInfo": user_info(call.user)}

    def _self_subject_access_review(self, call: Call, review: meta.Obj) -> dict[str, Any]:
        _require(review, list(_invalid_attributes(meta.spec(review))), "must be empty", ())
        return self._decided(call.user, meta.spec(review))

    def _subject_access_review(self, call: Call, review: meta.Obj) -> dict[str, Any]:
        spec, is_local = meta.spec(review), call.kind.namespaced
        refused = [*_invalid_attributes(spec), *_invalid_subject(spec)]
        local = list(_invalid_local(spec, call.namespace)) if is_local else []
        emptiness = "must be empty except for namespace" if is_local else "must be empty"
        _require(review, refused, emptiness, ("namespace",) if is_local else (), local)
        extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
        return self._decided(User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra), spec)

    def _decided(self, user: User, spec: Mapping[str, Any]) -> dict[str, Any]:
        resource = spec.get("resourceAttributes")
        if resource is not None:
            asked = authorisation.Asked(**{"verb": "", **{key: value for key, value in resource.items() if key in _RESOURCE}})
        else:
            path = spec["nonResourceAttributes"]
            asked = authorisation.Asked(verb=path.get("verb", ""), path=path.get("path", ""))
        decision = self._rbac.decide(user, asked)
        return {"allowed": decision.allowed, **({"reason": decision.reason} if decision.reason else {})}

    def _self_subject_rules_review(self, call: Call, review: meta.Obj) -> dict[str, Any]:
        namespace = meta.spec(review).get("namespace", "")
        if not namespace:
            raise errors.bad_request("no namespace on request")
        rules, problem = self._rbac.rules_of(call.user, namespace)
        fields = ("verbs", "apiGroups", "resources", "resourceNames")
        status: dict[str, Any] = {
            "resourceRules": [_only(rule, fields) for rule in rules if rule.get("resources")],
            "nonResourceRules": [_only(rule, ("verbs", "nonResourceURLs")) for rule in rules if rule.get("nonResourceURLs")],
            "incomplete": False,
        }
        return {**status, "evaluationError": problem} if problem else status

    def _token_review(self, _: Call, review: meta.Obj) -> dict[str, Any]:
        spec = meta.spec(review)
        token, audiences = spec.get("token", ""), list(spec.get("audiences") or [accounts.ISSUER])
        if not token:
            raise errors.bad_request("token is required for TokenReview in authentication")
        user = self._tokens.user_of(token) if accounts.ISSUER in audiences else None
        if user is not None:
            return {"authenticated": True, "user": user_info(user), "audiences": [accounts.ISSUER]}
        found = self._issued.identified(token, audiences)
        if found is None:
            return {"user": {}, "error": "invalid bearer token"}
        return {"authenticated": True, "user": user_info(found[0]), "audiences": found[1]}


def user_info(user: User) -> dict[str, Any]:
    """authentication.k8s.io UserInfo."""
    info: dict[str, Any] = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _require(
    review: meta.Obj, refused: list[FieldError], emptiness: str, may: tuple[str, ...], later: list[FieldError] | None = None
) -> None:
    """Raises StatusError 422 for what is refused; the metadata may say nothing but the fields `may`."""
    sent = {key: value for key, value in meta.meta(review).items() if value}
    if sent.keys() - {"managedFields", *may}:
        refused.append(errors.invalid("metadata", {**sent, "managedFields": _sorted(sent.get("managedFields") or [])}, emptiness))
    refused += later or []
    if refused:
        raise errors.invalid_object("", AUTHORIZATION, "", refused)


def _invalid_attributes(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        detail = "cannot be specified in combination with resourceAttributes"
        yield errors.invalid("spec.nonResourceAttributes", _shown(path), detail)
    if resource is None and path is None:
        yield errors.invalid("spec.resourceAttributes", None, ONE_OF)


def _invalid_subject(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    if not spec.get("user") and not spec.get("groups"):
        yield errors.invalid("spec.user", "", "at least one of user or group must be specified")


def _invalid_local(spec: Mapping[str, Any], namespace: str) -> Iterator[FieldError]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and resource.get("namespace", "") != namespace:
        yield errors.invalid("spec.resourceAttributes.namespace", resource.get("namespace", ""), "must match metadata.namespace")
    if path is not None:
        yield errors.invalid("spec.nonResourceAttributes", _shown(path), "disallowed on this kind of request")


def _shown(path: Mapping[str, str]) -> dict[str, str]:
    """As kube-apiserver holds and prints it."""
    return {"Path": path.get("path", ""), "Verb": path.get("verb", "")}


def _sorted(entries: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """managedFields as they are written: field sets are in order."""
    return [{**entry, "fieldsV1": orjson.loads(orjson.dumps(entry["fieldsV1"], option=orjson.OPT_SORT_KEYS))} for entry in entries]


def _only(rule: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    return {field: list(rule[field]) for field in fields if rule.get(field)}
