"""Workloads roll when a ConfigMap or Secret changes that their pods use, if their annotation asks for it.

A workload with `reconciler.dev/restart-on-change: "true"` remembers a digest of its configuration in another annotation.
Seeing it for the first time restarts nothing; when it differs later, the digest goes into the pod template too, and the
workload's own controller rolls it out within its own bounds. While something that is used is absent, nothing happens.
Beyond Kubernetes: tools such as Reloader do the same.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.model import meta, plan
from reconciler.model.view import NAMESPACE, View

ASKS = "reconciler.dev/restart-on-change"
SEEN = "reconciler.dev/configuration"  # on the workload: what its pods were last known to use
RESTARTED = "reconciler.dev/restarted-for"  # on the pod template: what the pods were restarted for
DIGEST_LENGTH = 16
MAPS, SECRETS = "configmaps", "secrets"
WORKLOADS = {"deployments.apps": "deployments", "statefulsets.apps": "statefulsets", "daemonsets.apps": "daemonsets"}

Reference = tuple[str, str]  # (kind, name)


def _controller(kind: str, part: str) -> plan.Controller:
    def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
        workload = view.get(kind, *key)
        if workload is None or meta.is_deleting(workload) or meta.annotations(workload).get(ASKS) != "true":
            return plan.NOTHING
        used = sorted(set(_references(workload)))
        contents = {reference: view.get(reference[0], key[0], reference[1]) for reference in used}
        if absent := [f"{kind} {name}" for (kind, name), found in contents.items() if found is None]:
            return plan.plan_of(waiting_on=[plan.Waiting(f"{', '.join(absent)} to be created")])
        digest = _digest(meta.uid(workload), contents)
        seen = meta.annotations(workload).get(SEEN, "")
        if seen == digest:
            return plan.NOTHING
        body: meta.Obj = meta.put(workload, ("metadata", "annotations", SEEN), digest)
        if seen:
            body = meta.put(body, ("spec", "template", "metadata", "annotations", RESTARTED), digest)
        why = "its configuration changed" if seen else "its configuration is known from now on"
        return plan.plan_of([plan.Update(kind=kind, body=body, why=why)])

    def of_configuration(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
        obj = new if new is not None else old
        assert obj is not None
        reference = (SECRETS if obj.get("kind") == "Secret" else MAPS, meta.name(obj))
        for workload in view.by(kind, NAMESPACE, meta.namespace(obj)):
            if meta.annotations(workload).get(ASKS) == "true" and reference in _references(workload):
                yield meta.key(workload)

    return plan.Controller(
        name=f"configuration-restart-controller/{part}",
        kind=kind,
        plan=planned,
        follows={MAPS: of_configuration, SECRETS: of_configuration},
    )


def _digest(uid: str, contents: Mapping[Reference, meta.Obj | None]) -> str:
    """Differs with any content. The uid is part of it, so that equal Secrets do not show as equal."""
    parts = [(reference, (found or {}).get("data"), (found or {}).get("binaryData")) for reference, found in contents.items()]
    return hashlib.sha256(json.dumps([uid, parts], sort_keys=True).encode()).hexdigest()[:DIGEST_LENGTH]


def _references(workload: meta.Obj) -> Iterator[Reference]:
    """What the pods cannot do without: volumes and variables from ConfigMaps and Secrets that are not optional."""
    spec = (meta.spec(workload).get("template") or meta.EMPTY).get("spec") or meta.EMPTY
    sources: list[tuple[str, Mapping[str, Any] | None, str]] = []
    for volume in spec.get("volumes") or ():
        sources += [(MAPS, volume.get("configMap"), "name"), (SECRETS, volume.get("secret"), "secretName")]
        for source in (volume.get("projected") or meta.EMPTY).get("sources") or ():
            sources += [(MAPS, source.get("configMap"), "name"), (SECRETS, source.get("secret"), "name")]
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        for source in container.get("envFrom") or ():
            sources += [(MAPS, source.get("configMapRef"), "name"), (SECRETS, source.get("secretRef"), "name")]
        for variable in container.get("env") or ():
            source = variable.get("valueFrom") or meta.EMPTY
            sources += [(MAPS, source.get("configMapKeyRef"), "name"), (SECRETS, source.get("secretKeyRef"), "name")]
    for kind, source, field in sources:
        if source and source.get(field) and not source.get("optional"):
            yield kind, str(source[field])


CONTROLLERS = tuple(_controller(kind, part) for kind, part in WORKLOADS.items())
