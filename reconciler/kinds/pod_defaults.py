"""Defaults of a pod's spec, wherever one stands: in a Pod, a workload's template, a CronJob's job template.

Source: pkg/apis/core/v1/defaults.go. Input is canonical (model/decode.py): an absent field is an unset one. Nothing is
changed in place; an object that has all its defaults comes back as it is, so that reading costs little.
"""

from collections.abc import Callable, Mapping
from typing import Any

from reconciler.model import meta

Spec = Mapping[str, Any]

DEFAULT_MODE = 420  # 0644
TOKEN_SECONDS = 3600
GRACE_SECONDS = 30
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
HANDLERS = ("postStart", "preStop")
CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def filled(obj: Spec, defaults: Mapping[str, Any]) -> Spec:
    """`obj` with every absent or null field of `defaults`; `obj` itself where none is."""
    missing = {name: value for name, value in defaults.items() if obj.get(name) is None}
    return {**obj, **missing} if missing else obj


def mapped(obj: Spec, field: str, change: Callable[[Any], Any]) -> Spec:
    """`obj` with `change` done to the items of the list `field`; `obj` itself where nothing changed."""
    items = obj.get(field)
    if not items:
        return obj
    changed = [change(item) for item in items]
    return obj if all(new is old for new, old in zip(changed, items, strict=True)) else {**obj, field: changed}


def inside(obj: Spec, field: str, change: Callable[[Any], Any]) -> Spec:
    """`obj` with `change` done to its field, where it has one."""
    old = obj.get(field)
    if old is None:
        return obj
    new = change(old)
    return obj if new is old else {**obj, field: new}


def template(obj: meta.Obj) -> meta.Obj:
    """A workload: spec.template.spec gets its defaults."""
    return inside(obj, "spec", lambda spec: inside(spec, "template", lambda made: inside(made, "spec", pod_spec)))


def pod_spec(spec: Spec) -> Spec:
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec = filled(spec, {"serviceAccountName": account, "serviceAccount": account})
        if spec["serviceAccount"] != account:
            spec = {**spec, "serviceAccount": account}
    spec = filled(
        spec,
        {
            "dnsPolicy": "ClusterFirst",
            "restartPolicy": "Always",
            "securityContext": {},
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "schedulerName": "default-scheduler",
        },
    )
    for field in CONTAINER_LISTS:
        spec = mapped(spec, field, container)
    return mapped(spec, "volumes", volume)


def container(one: Spec) -> Spec:
    one = filled(
        one,
        {
            "imagePullPolicy": pull_policy(one.get("image", "")),
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        },
    )
    one = mapped(one, "ports", lambda port: filled(port, {"protocol": "TCP"}))
    one = mapped(one, "env", lambda variable: inside(variable, "valueFrom", _value_from))
    for name in PROBES:
        one = inside(one, name, probe)
    return inside(one, "lifecycle", _lifecycle)


def pull_policy(image: str) -> str:
    """Always for the tag latest or none, else IfNotPresent."""
    name, _, digest = image.partition("@")
    last = name.rsplit("/", 1)[-1]
    tag = last.partition(":")[2] or ("" if digest else "latest")
    return "Always" if tag == "latest" and image else "IfNotPresent"


def probe(one: Spec) -> Spec:
    one = filled(one, {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
    one = inside(one, "httpGet", _http_get)
    return inside(one, "grpc", lambda grpc: filled(grpc, {"service": ""}))


def volume(one: Spec) -> Spec:
    return {**one, "emptyDir": {}} if one.keys() == {"name"} else volume_source(one)


def volume_source(one: Spec) -> Spec:
    """Of a pod's volume or a PersistentVolume's spec."""
    for name, defaults in _VOLUME_DEFAULTS.items():
        if name in one:
            return inside(one, name, defaults)
    return one


def persistent_claim_spec(spec: Spec) -> Spec:
    return filled(spec, {"volumeMode": "Filesystem"})


def _http_get(action: Spec) -> Spec:
    return filled(action, {"path": "/", "scheme": "HTTP"})


def _lifecycle(lifecycle: Spec) -> Spec:
    for name in HANDLERS:
        lifecycle = inside(lifecycle, name, lambda handler: inside(handler, "httpGet", _http_get))
    return lifecycle


def _value_from(source: Spec) -> Spec:
    return inside(source, "fieldRef", _field_ref)


def _field_ref(reference: Spec) -> Spec:
    return filled(reference, {"apiVersion": "v1"})


def _downward(source: Spec) -> Spec:
    return mapped(source, "items", lambda item: inside(item, "fieldRef", _field_ref))


def _projection(source: Spec) -> Spec:
    source = inside(source, "serviceAccountToken", lambda token: filled(token, {"expirationSeconds": TOKEN_SECONDS}))
    return inside(source, "downwardAPI", _downward)


def _moded(source: Spec) -> Spec:
    return filled(source, {"defaultMode": DEFAULT_MODE})


def _filled_with(**defaults: Any) -> Callable[[Spec], Spec]:
    return lambda source: filled(source, defaults)


_VOLUME_DEFAULTS: Mapping[str, Callable[[Spec], Spec]] = {
    "secret": _moded,
    "configMap": _moded,
    "downwardAPI": lambda source: _moded(_downward(source)),
    "projected": lambda source: _moded(mapped(source, "sources", _projection)),
    "hostPath": _filled_with(type=""),
    "iscsi": _filled_with(iscsiInterface="default"),
    "rbd": _filled_with(pool="rbd", user="admin", keyring="/etc/ceph/keyring"),
    "azureDisk": _filled_with(cachingMode="ReadWrite", fsType="ext4", kind="Shared", readOnly=False),
    "scaleIO": _filled_with(storageMode="ThinProvisioned", fsType="xfs"),
    "ephemeral": lambda source: inside(source, "volumeClaimTemplate", lambda made: inside(made, "spec", persistent_claim_spec)),
    "image": lambda source: filled(source, {"pullPolicy": pull_policy(source.get("reference", ""))}),
}
