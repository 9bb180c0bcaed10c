"""Service accounts' tokens: issued for a TokenRequest, believed while what they name exists.

A token is a JWT signed with RS256 under the server's own key (account_keys.py). It is good for its audience, until it
expires, and only as long as the service account, and the pod or secret that it is bound to, are there with the same uid.
"""

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jwt

from reconciler.api.auth import account_keys
from reconciler.api.calls import User
from reconciler.kit import clock
from reconciler.model import errors, meta

ISSUER = "https://kubernetes.default.svc.cluster.local"
PRIVATE = "kubernetes.io"
DEFAULT_SECONDS = 3600
LEAST_SECONDS, MOST_SECONDS = 600, 1 << 32
BINDABLE = {("v1", "Pod"): "pods", ("v1", "Secret"): "secrets", ("v1", "Node"): "nodes"}

Lookup = Callable[[str, str, str], meta.Obj | None]  # (Kind.id, namespace, name) -> the object now


class Accounts:
    """`key_file` keeps the key over restarts; without one tokens end with the process. Raises certificates.Unusable, OSError."""

    def __init__(self, key_file: Path | None, time: clock.Clock, lookup: Lookup) -> None:
        self._time = time
        self._lookup = lookup
        self._keys = account_keys.Keys(key_file)

    def answer(self, account: meta.Obj, body: Mapping[str, Any], manager: str) -> dict[str, Any]:
        """The TokenRequest with its token. Raises StatusError."""
        sent = dict(body.get("spec") or {})
        seconds = int(sent.get("expirationSeconds") or DEFAULT_SECONDS)
        path = "spec.expirationSeconds"
        refused = []
        if seconds < LEAST_SECONDS:
            refused.append(errors.invalid(path, seconds, "may not specify a duration less than 10 minutes"))
        if seconds > MOST_SECONDS:
            refused.append(errors.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds"))
        if refused:
            raise errors.invalid_object("TokenRequest", "authentication.k8s.io", "", refused)
        audiences = [str(audience) for audience in sent.get("audiences") or [ISSUER]]
        now = self._time.now()
        claims = {**self._claims(account, sent.get("boundObjectRef") or {}), "aud": audiences}
        times = {"iat": int(now), "nbf": int(now), "exp": int(now) + seconds}
        claims |= {**times, "iss": ISSUER, "jti": str(uuid.uuid4())}
        token = jwt.encode(claims, self._keys.signing, self._keys.signer.algorithm, {"kid": self._keys.signer.id})
        spec = {**sent, "expirationSeconds": seconds}
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": self._metadata(account, spec, manager),
            "spec": {**spec, "audiences": audiences},
            "status": {"token": token, "expirationTimestamp": clock.rfc3339(now + seconds)},
        }

    def discovery(self, address: str) -> dict[str, Any]:
        """OpenID Connect's description of the issuer, so that others can check tokens; they are told to ask `address`."""
        return {
            "issuer": ISSUER,
            "jwks_uri": f"https://{address}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({one.algorithm for one in self._keys.verifiers.values()}),
        }

    def keys(self) -> dict[str, Any]:
        """The public keys as a JWK set."""
        return {"keys": [one.jwk() for one in self._keys.verifiers.values()]}

    def user_of(self, token: str) -> User | None:
        """Who a token that is meant for this server speaks for."""
        found = self.identified(token, [ISSUER])
        return found[0] if found is not None else None

    def identified(self, token: str, audiences: list[str]) -> tuple[User, list[str]] | None:
        """Who a token speaks for, and to which of the audiences; None for one not ours, expired, or bound to what is gone."""
        try:
            verifier = self._keys.verifiers.get(jwt.get_unverified_header(token).get("kid", ""))
            if verifier is None:
                return None
            claims = jwt.decode(
                token,
                verifier.key,
                algorithms=[verifier.algorithm],
                audience=audiences,
                issuer=ISSUER,
                options={"require": ["exp", "iat", "sub"], "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            return None
        if not claims.get("nbf", 0) - 60 <= self._time.now() < claims["exp"]:  # our own clock, which tests may move
            return None
        private = claims.get(PRIVATE) or {}
        namespace, account = str(private.get("namespace", "")), private.get("serviceaccount") or {}
        if not self._exists("serviceaccounts", namespace, account):
            return None
        extra = {"authentication.kubernetes.io/credential-id": (f"JTI={claims.get('jti', '')}",)}
        for kind, plural in (("pod", "pods"), ("secret", "secrets"), ("node", "nodes")):
            bound = private.get(kind)
            if bound and not self._exists(plural, "" if kind == "node" else namespace, bound):
                return None
            if bound and kind == "pod":
                extra["authentication.kubernetes.io/pod-name"] = (str(bound["name"]),)
                extra["authentication.kubernetes.io/pod-uid"] = (str(bound["uid"]),)
        user = user_named(namespace, str(account.get("name")), str(account.get("uid")), extra)
        return user, [audience for audience in audiences if audience in claims["aud"]]

    def _exists(self, kind: str, namespace: str, named: Mapping[str, Any]) -> bool:
        found = self._lookup(kind, namespace, str(named.get("name", "")))
        return found is not None and meta.uid(found) == named.get("uid")

    def _claims(self, account: meta.Obj, bound: Mapping[str, Any]) -> dict[str, Any]:
        namespace = meta.namespace(account)
        private: dict[str, Any] = {"namespace": namespace, "serviceaccount": {"name": meta.name(account), "uid": meta.uid(account)}}
        if bound:
            kind, obj = self._bound(account, bound)
            private[kind] = {"name": meta.name(obj), "uid": meta.uid(obj)}
            node = meta.spec(obj).get("nodeName") if kind == "pod" else None
            if node and (found := self._lookup("nodes", "", str(node))) is not None:
                private["node"] = {"name": node, "uid": meta.uid(found)}
        return {"sub": f"system:serviceaccount:{namespace}:{meta.name(account)}", PRIVATE: private}

    def _bound(self, account: meta.Obj, bound: Mapping[str, Any]) -> tuple[str, meta.Obj]:
        """The object that the token lives and dies with. Raises StatusError."""
        version, kind, name = str(bound.get("apiVersion", "")), str(bound.get("kind", "")), str(bound.get("name", ""))
        plural = BINDABLE.get((version, kind))
        if plural is None:
            raise errors.bad_request(f"cannot bind token to object of type /{version}, Kind={kind}")
        obj = self._lookup(plural, "" if plural == "nodes" else meta.namespace(account), name)
        if obj is None:
            raise errors.not_found(plural, "", name)
        if bound.get("uid") and bound["uid"] != meta.uid(obj):
            detail = f"the UID in the bound object reference ({bound['uid']}) does not match the UID in record."
            raise errors.conflict(kind, "", name, f"{detail} The object might have been deleted and then recreated")
        if kind == "Pod" and (meta.spec(obj).get("serviceAccountName") or "default") != meta.name(account):
            owner = meta.name(account)
            raise errors.bad_request(f'cannot bind token for serviceaccount "{owner}" to pod running with different serviceaccount name.')
        return kind.lower(), obj

    def _metadata(self, account: meta.Obj, spec: Mapping[str, Any], manager: str) -> dict[str, Any]:
        now = clock.rfc3339(self._time.now())
        entry = {
            "manager": manager,
            "operation": "Update",
            "apiVersion": "authentication.k8s.io/v1",
            "time": now,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": _field_set(spec)},
            "subresource": "token",
        }
        named = {"name": meta.name(account), "namespace": meta.namespace(account), "uid": meta.uid(account)}
        return {**named, "creationTimestamp": now, "managedFields": [entry]}


def user_named(namespace: str, name: str, uid: str = "", extra: Mapping[str, tuple[str, ...]] = MappingProxyType({})) -> User:
    """The user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra)


def _field_set(value: Any) -> dict[str, Any]:
    return {f"f:{name}": _field_set(inner) for name, inner in value.items()} if isinstance(value, Mapping) else {}
