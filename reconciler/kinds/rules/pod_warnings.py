"""What is allowed in a pod, or a template of pods, but hardly meant: kube-apiserver answers such writes with warnings.

They never refuse anything; see rules.pods for that.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.kinds.rules import annotations as old_annotations
from reconciler.model import govalue, meta, names, quantity

Spec = Mapping[str, Any]

NO_PODS = "a null labelSelector results in matching no pod"
NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
SECCOMP_MESSAGE = 'non-functional in v1.27+; use the "seccompProfile" field instead'
APP_ARMOR_MESSAGE = 'deprecated since v1.30; use the "appArmorProfile" field instead'
VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}


def of_pod(pod: meta.Obj, old: meta.Obj | None) -> Iterator[str]:
    """Pods change too often, and by programs, to look at their updates."""
    if old is not None:
        return
    if reasons := names.dns_label(meta.name(pod)):
        hostname = "this is used in the Pod's hostname, which can result in surprising behavior"
        yield f"metadata.name: {hostname}; a DNS label is recommended: [{' '.join(reasons)}]"
    yield from _of_spec("", meta.spec(pod), meta.annotations(pod))


def of_workload(obj: meta.Obj, old: meta.Obj | None) -> Iterator[str]:
    """Of the kinds whose spec.template makes pods with names that begin with their own."""
    if old is None:
        yield from of_name(obj)
    elif meta.spec(obj) == meta.spec(old):
        return
    yield from of_template("spec.template", meta.spec(obj).get("template") or meta.EMPTY)


def of_name(obj: meta.Obj) -> Iterator[str]:
    if reasons := names.dns_label(meta.name(obj)):
        used = "this is used in Pod names and hostnames, which can result in surprising behavior"
        yield f"metadata.name: {used}; a DNS label is recommended: [{' '.join(reasons)}]"


def of_template(path: str, template: Mapping[str, Any]) -> Iterator[str]:
    annotations = (template.get("metadata") or meta.EMPTY).get("annotations") or meta.EMPTY
    spec = template.get("spec") or meta.EMPTY
    yield from _of_spec(f"{path}.", spec, annotations)


def of_node_terms(path: str, terms: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for index, term in enumerate(terms):
        yield from _of_node_term(f"{path}[{index}]", term)


def of_volume(path: str, volume: Mapping[str, Any]) -> Iterator[str]:
    """`volume` of a pod, or the spec of a PersistentVolume."""
    for source, message in VOLUMES.items():
        if source in volume:
            shown = "storageOS" if source == "storageos" else source
            yield f"{path}.{shown}: {message}"


def of_claim(path: str, spec: Spec) -> Iterator[str]:
    """`spec` of a PersistentVolumeClaim."""
    wanted = spec.get("resources") or meta.EMPTY
    for part in ("requests", "limits"):
        yield from _fractional(f"{path}.resources.{part}", wanted.get(part), ("storage",))


def _of_spec(at: str, spec: Spec, annotations: Mapping[str, str]) -> Iterator[str]:
    """`at` is "" for a pod and ends with a dot for a template."""
    path = f"{at}spec"
    yield from _of_placement(path, spec)
    for key, message in ANNOTATIONS.items():
        if key in annotations:
            yield f"{at}metadata.annotations[{key}]: {message}"
    yield from _of_volumes(f"{path}.volumes", spec.get("volumes") or ())
    yield from _repeated(f"{path}.hostAliases", "ip", spec.get("hostAliases") or ())
    secrets = spec.get("imagePullSecrets") or ()
    yield from _repeated(f"{path}.imagePullSecrets", "name", secrets)
    for index, secret in enumerate(secrets):
        if not secret.get("name"):
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'
    yield from _fractional(f"{path}.overhead", spec.get("overhead"), ("memory", "ephemeral-storage"))
    security = spec.get("securityContext") or meta.EMPTY
    if old_annotations.SECCOMP_POD in annotations and "seccompProfile" not in security:
        yield f"{at}metadata.annotations[{old_annotations.SECCOMP_POD}]: {SECCOMP_MESSAGE}"
    containers = list(_containers(path, spec))
    for where, container in containers:
        yield from _of_container_annotations(at, container, annotations, security)
        yield from _of_container(where, container)
    yield from _of_ports(containers)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        yield f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
    yield from _of_pod_terms(f"{path}.affinity", spec.get("affinity") or meta.EMPTY)


def _of_placement(path: str, spec: Spec) -> Iterator[str]:
    for key in spec.get("nodeSelector") or ():
        if key in NODE_LABELS:
            yield f"{path}.nodeSelector[{key}]: {NODE_LABELS[key]}"
    affinity = (spec.get("affinity") or meta.EMPTY).get("nodeAffinity") or meta.EMPTY
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or meta.EMPTY
    of_required = f"{path}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
    yield from of_node_terms(of_required, required.get("nodeSelectorTerms") or ())
    for index, term in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        at = f"{path}.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[{index}].preference"
        yield from _of_node_term(at, term.get("preference") or meta.EMPTY)
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        at, key = f"{path}.topologySpreadConstraints[{index}]", constraint.get("topologyKey", "")
        if key in NODE_LABELS:
            yield f"{at}.topologyKey: {key} is {NODE_LABELS[key]}"
        if constraint.get("labelSelector") is None:
            yield f"{at}.labelSelector: {NO_PODS}"


def _of_node_term(path: str, term: Mapping[str, Any]) -> Iterator[str]:
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        key = expression.get("key", "")
        if key in NODE_LABELS:
            yield f"{path}.matchExpressions[{index}].key: {key} is {NODE_LABELS[key]}"


def _of_volumes(path: str, volumes: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for index, volume in enumerate(volumes):
        yield from of_volume(f"{path}[{index}]", volume)
        claim = (volume.get("ephemeral") or meta.EMPTY).get("volumeClaimTemplate")
        if claim:
            yield from of_claim(f"{path}[{index}].ephemeral.volumeClaimTemplate.spec", claim.get("spec") or meta.EMPTY)


def _repeated(path: str, field: str, items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        value = item.get(field, "")
        if value in seen:
            yield f"{path}[{index}].{field}: duplicate {field} {govalue.quoted(value)}"
        seen.add(value)


def _fractional(path: str, amounts: Mapping[str, str] | None, keys: Iterable[str]) -> Iterator[str]:
    for key in keys:
        text = (amounts or meta.EMPTY).get(key)
        if text is not None and quantity.milli(text) % 1000:
            yield f'{path}[{key}]: fractional byte value "{quantity.canonical(text)}" is invalid, must be an integer'


def _containers(path: str, spec: Spec) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield f"{path}.{field}[{index}]", container


def _of_container_annotations(
    at: str, container: Mapping[str, Any], annotations: Mapping[str, str], of_pod: Mapping[str, Any]
) -> Iterator[str]:
    security = container.get("securityContext") or meta.EMPTY
    key = f"{old_annotations.SECCOMP_CONTAINER}{container.get('name', '')}"
    if key in annotations and "seccompProfile" not in security:
        yield f"{at}metadata.annotations[{key}]: {SECCOMP_MESSAGE}"
    key = f"{old_annotations.APP_ARMOR}{container.get('name', '')}"
    if at and key in annotations and "appArmorProfile" not in security and "appArmorProfile" not in of_pod:
        yield f"{at}metadata.annotations[{key}]: {APP_ARMOR_MESSAGE}"


def _of_container(path: str, container: Mapping[str, Any]) -> Iterator[str]:
    resources = container.get("resources") or meta.EMPTY
    for key in ("memory", "ephemeral-storage"):
        for part in ("limits", "requests"):
            yield from _fractional(f"{path}.resources.{part}", resources.get(part), (key,))
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name, value = variable.get("name", ""), variable.get("value", "")
        reference = f"$({name})"
        builds_on_it = "valueFrom" not in variable and reference in value and value != reference
        if name in seen and not builds_on_it:
            yield f'{path}.env[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
        seen.add(name)


def _of_ports(containers: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Ports of all containers of the pod: they share its address."""
    taken: dict[tuple[int, str], list[tuple[str, str, int]]] = {}
    for path, container in containers:
        for index, port in enumerate(container.get("ports") or ()):
            at, address, on_host = f"{path}.ports[{index}]", port.get("hostIP", ""), port.get("hostPort", 0)
            number, protocol = port.get("containerPort", 0), port.get("protocol", "")
            if address and not on_host:
                shown = f"{{Name:{port.get('name', '')} HostPort:0 ContainerPort:{number} Protocol:{protocol} HostIP:{address}}}"
                yield f"{at}: hostIP set without hostPort: {shown}"
            others = taken.setdefault((number, protocol), [])
            for other, other_address, other_on_host in others:
                if (address, on_host) == (other_address, other_on_host):
                    yield f"{at}: duplicate port definition with {other}"
                elif not on_host or not other_on_host:
                    yield f"{at}: overlapping port definition with {other}"
                elif on_host == other_on_host and bool(address) != bool(other_address):
                    yield f"{at}: dangerously ambiguous port definition with {other}"
            others.append((at, address, on_host))


def _of_pod_terms(path: str, affinity: Mapping[str, Any]) -> Iterator[str]:
    for sort in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(sort) or meta.EMPTY
        for index, term in enumerate(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()):
            if term.get("labelSelector") is None:
                yield f"{path}.{sort}.requiredDuringSchedulingIgnoredDuringExecution[{index}].labelSelector: {NO_PODS}"
        for index, weighted in enumerate(rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
            if (weighted.get("podAffinityTerm") or meta.EMPTY).get("labelSelector") is None:
                at = f"{path}.{sort}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
                yield f"{at}.podAffinityTerm.labelSelector: {NO_PODS}"
