"""ServiceAccount: every pod runs as one, with its pull secrets and, where tokens are mounted, its token.

Different from Kubernetes in one point: a pod may be created before its namespace's own "default" account exists,
which a controller makes in a moment; Kubernetes refuses and lets the client try again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.kit import ids
from reconciler.model import meta

DEFAULT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607  # an hour, and a few seconds to tell it from what a user would write
MIRROR = "kubernetes.io/config.mirror"
ENFORCE_SECRETS = "kubernetes.io/enforce-mountable-secrets"


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """`mount_tokens`: whether pods get a projected volume with the account's token."""

    mount_tokens: bool

    def admit(self, attributes: Attributes, obj: meta.Obj) -> meta.Obj:
        if attributes.operation != "CREATE" or attributes.call.subresource or MIRROR in meta.annotations(obj):
            return obj
        spec = dict(meta.spec(obj))
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or DEFAULT
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = self._account(attributes, name)
        if account.get("imagePullSecrets") and not spec.get("imagePullSecrets"):
            spec["imagePullSecrets"] = account["imagePullSecrets"]
        _check_secrets(attributes, account, spec)
        automount = spec.get("automountServiceAccountToken")
        if automount is None:
            automount = account.get("automountServiceAccountToken", True)
        return {**obj, "spec": _with_token(spec) if automount and self.mount_tokens else spec}

    def _account(self, attributes: Attributes, name: str) -> meta.Obj:
        namespace = attributes.call.namespace
        found = attributes.cache.get("serviceaccounts", namespace, name)
        if found is not None:
            return found.obj
        if name == DEFAULT:
            return meta.EMPTY
        raise attributes.call.forbidden(f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found')


def _check_secrets(attributes: Attributes, account: meta.Obj, spec: Mapping[str, Any]) -> None:
    if meta.annotations(account).get(ENFORCE_SECRETS) != "true":
        return
    allowed = {reference.get("name") for reference in account.get("secrets") or ()}
    for volume in spec.get("volumes") or ():
        secret = (volume.get("secret") or {}).get("secretName")
        if secret and secret not in allowed:
            account_name = meta.name(account)
            because = f"because service account {account_name} does not reference that secret"
            detail = f'volume with secret.secretName="{secret}" is not allowed {because}'
            raise attributes.call.forbidden(detail)


def _with_token(spec: dict[str, Any]) -> dict[str, Any]:
    """`spec` with the token mounted in every container that mounts nothing there itself."""
    others = [str(one.get("name")) for one in spec.get("volumes") or ()]
    volume = f"kube-api-access-{ids.suffix(spec['serviceAccountName'], *others)}"
    mount = {"name": volume, "readOnly": True, "mountPath": MOUNT_PATH}
    mounted = False
    for group in ("initContainers", "containers"):
        containers = spec.get(group)
        if not containers:
            continue
        spec[group] = [container if _mounts(container) else _plus_mount(container, mount) for container in containers]
        mounted = mounted or any(container is not before for container, before in zip(spec[group], containers, strict=True))
    if mounted:
        spec["volumes"] = [*(spec.get("volumes") or ()), _token_volume(volume)]
    return spec


def _mounts(container: Mapping[str, Any]) -> bool:
    return any(mount.get("mountPath") == MOUNT_PATH for mount in container.get("volumeMounts") or ())


def _plus_mount(container: Mapping[str, Any], mount: Mapping[str, Any]) -> dict[str, Any]:
    return {**container, "volumeMounts": [*(container.get("volumeMounts") or ()), mount]}


def _token_volume(name: str) -> dict[str, Any]:
    sources = [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 420}}


def plugin(*, mount_tokens: bool) -> Plugin:
    return Plugin(name="ServiceAccount", kinds=frozenset({"pods"}), reads=("serviceaccounts",), admit=ServiceAccount(mount_tokens).admit)
