"""A pod as the scheduler sees it: everything that decides where it may go, parsed once.

Pods of one template share one Shape, and with it every verdict and score. Two pods have the same shape when the
parts of them that any rule reads are the same; `key_of` says which parts those are. A shape never changes.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reconciler.model import meta, selectors
from reconciler.placement import affinity, pods, ports, requests, taints

MAX_SHAPES = 20_000  # kept for pods to come; shapes in use live on in the table

CLAIM_SOURCES = ("persistentVolumeClaim", "ephemeral")
# Volumes that some rule reads; all others (configMap, emptyDir, projected with its random name, ...) do not matter.
VOLUME_SOURCES = (*CLAIM_SOURCES, "gcePersistentDisk", "awsElasticBlockStore", "rbd", "iscsi", "csi", "image")

LabelKey = tuple[str, frozenset[tuple[str, str]]]  # namespace and labels


@dataclass(frozen=True, slots=True)
class PodTerm:
    """Pods that an affinity term or a spread constraint counts.

    `namespaces` are those named; `namespace_selector` adds those whose labels match (None: none).
    """

    selector: selectors.Selector
    namespaces: frozenset[str]
    namespace_selector: selectors.Selector | None = None

    def matches(self, namespace: str, namespace_labels: Mapping[str, str], labels: Mapping[str, str]) -> bool:
        if namespace not in self.namespaces and not (
            self.namespace_selector is not None and self.namespace_selector.matches(namespace_labels)
        ):
            return False
        return self.selector.matches(labels)


@dataclass(frozen=True, slots=True)
class AffinityTerm:
    pods: PodTerm
    topology_key: str


@dataclass(frozen=True, slots=True)
class Spread:
    """One topologySpreadConstraint. `min_domains` 1 is Kubernetes' default."""

    topology_key: str
    max_skew: int
    pods: PodTerm
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


@dataclass(eq=False)
class Shape:
    namespace: str
    name: str  # name and UID are of the first pod that had the shape; of every pod only where volumes make it unique
    uid: str
    labels: Mapping[str, str]
    priority: int
    preempts: bool  # preemptionPolicy is not Never
    scheduler_name: str
    owner: tuple[str, str]  # kind and name of the controller, ("", "") without one
    requests: Mapping[str, int]
    usual_requests: Mapping[str, int]  # with placement.requests.USUAL_REQUESTS for containers without
    nodes: affinity.NodeSelector
    preferred_nodes: tuple[tuple[int, affinity.Term], ...]
    tolerations: tuple[taints.Toleration, ...]
    ports: tuple[ports.HostPort, ...]
    affinity: tuple[AffinityTerm, ...]
    anti_affinity: tuple[AffinityTerm, ...]
    preferred_pods: tuple[tuple[int, AffinityTerm], ...]  # a negative weight is anti-affinity
    spread: tuple[Spread, ...]  # whenUnsatisfiable: DoNotSchedule
    preferred_spread: tuple[Spread, ...]  # ScheduleAnyway
    volumes: tuple[Mapping[str, Any], ...]  # those with one of VOLUME_SOURCES
    images: tuple[str, ...]
    containers: int  # init containers and image volumes included
    owned: tuple["OwnedTerm", ...] = ()
    vector: Any = None  # requests in the order of the table's columns, filled in by the table that interned the shape

    @cached_property
    def label_key(self) -> LabelKey:
        """What selectors see of it."""
        return self.namespace, frozenset(self.labels.items())

    @property
    def is_best_effort(self) -> bool:
        return not any(self.requests.get(resource) for resource in (requests.CPU, requests.MEMORY))

    @cached_property
    def names(self) -> frozenset[str] | None:
        """The only nodes that it may go to, where it names them."""
        return self.nodes.names()

    @property
    def names_pods(self) -> bool:
        """Whether pods that are elsewhere could be what lets this one in."""
        return bool(self.affinity or self.spread)

    @property
    def claims(self) -> tuple[tuple[str, bool], ...]:
        """(claim name, is it an ephemeral volume's) of each volume that is one."""
        found = []
        for volume in self.volumes:
            if "persistentVolumeClaim" in volume:
                found.append((str(volume["persistentVolumeClaim"].get("claimName", "")), False))
            elif "ephemeral" in volume:
                found.append((f"{self.name}-{volume['name']}", True))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class OwnedTerm:
    """A term that a pod on a node holds against, or for, pods to come. `weight` 0 is required anti-affinity.

    `required` marks required affinity, which counts for others by the profile's hardPodAffinityWeight.
    """

    term: AffinityTerm
    weight: int = 0
    required: bool = False


class Shapes:
    """Interns shapes. Keeps the most recently used ones."""

    def __init__(self) -> None:
        self._shapes: OrderedDict[tuple[Any, ...], Shape] = OrderedDict()

    def of(self, pod: meta.Obj) -> Shape:
        key = key_of(pod)
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shapes[key] = parse(pod)
            if len(self._shapes) > MAX_SHAPES:
                self._shapes.popitem(last=False)
        else:
            self._shapes.move_to_end(key)
        return shape


def key_of(pod: meta.Obj) -> tuple[Any, ...]:
    spec = meta.spec(pod)
    metadata = meta.meta(pod)
    volumes = [volume for volume in spec.get("volumes") or () if any(source in volume for source in VOLUME_SOURCES)]
    owner = meta.controller(pod)
    return (
        metadata.get("namespace"),
        repr(metadata.get("labels")),
        spec.get("priority"),
        spec.get("schedulerName"),
        repr(spec.get("nodeSelector")),
        repr(spec.get("affinity")),
        repr(spec.get("tolerations")),
        repr(spec.get("topologySpreadConstraints")),
        repr([_container_key(one) for one in spec["containers"]]),
        repr([_container_key(one) for one in spec.get("initContainers") or ()]),
        repr((spec.get("resources"), spec.get("overhead"), spec.get("hostNetwork"), spec.get("preemptionPolicy"))),
        (owner.get("kind"), owner.get("name")) if owner else None,
        (metadata.get("name"), metadata.get("uid"), repr(volumes)) if volumes else None,
        resizing(pod),
    )


def resizing(pod: meta.Obj) -> str | None:
    """What the node holds for the pod and its containers, where that is not simply what the spec asks for."""
    status, spec = meta.status(pod), meta.spec(pod)
    statuses = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    held = [(one.get("name"), part) for one in statuses for part in _held(one)]
    whole = _held(status) if spec.get("resources") else []
    if not held and not whole:
        return None
    containers = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    asked = {one.get("name"): (one.get("resources") or meta.EMPTY).get("requests") or meta.EMPTY for one in containers}
    if not whole and all(part == asked.get(name) for name, part in held):
        return None
    return repr((held, whole, [one.get("reason") for one in status.get("conditions") or () if one.get("type") == "PodResizePending"]))


def _held(status: Mapping[str, Any]) -> list[Any]:
    parts = (status.get("allocatedResources"), (status.get("resources") or meta.EMPTY).get("requests"))
    return [part for part in parts if part is not None]


def _container_key(container: Mapping[str, Any]) -> tuple[Any, ...]:
    get = container.get
    return (get("image"), get("resources"), get("ports"), get("restartPolicy"))


def parse(pod: meta.Obj) -> Shape:
    spec = meta.spec(pod)
    namespace, labels = meta.namespace(pod), meta.labels(pod)
    inter = spec.get("affinity") or meta.EMPTY
    toward, away = inter.get("podAffinity") or meta.EMPTY, inter.get("podAntiAffinity") or meta.EMPTY
    required = _terms(toward.get("requiredDuringSchedulingIgnoredDuringExecution"), namespace, labels)
    forbidden = _terms(away.get("requiredDuringSchedulingIgnoredDuringExecution"), namespace, labels)
    preferred = (*_weighted(toward, 1, namespace, labels), *_weighted(away, -1, namespace, labels))
    owner = meta.controller(pod)
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    volumes = tuple(volume for volume in spec.get("volumes") or () if any(source in volume for source in VOLUME_SOURCES))
    images = [_image(str(one.get("image") or "")) for one in containers]
    images += [_image(str(volume["image"].get("reference") or "")) for volume in volumes if "image" in volume]
    return Shape(
        namespace=namespace,
        name=meta.name(pod),
        uid=meta.uid(pod),
        labels=labels,
        priority=pods.priority(pod),
        preempts=spec.get("preemptionPolicy") != "Never",
        scheduler_name=pods.scheduler_name(pod),
        owner=(str(owner["kind"]), str(owner["name"])) if owner else ("", ""),
        requests=requests.of_pod(pod),
        usual_requests=requests.of_pod(pod, requests.USUAL_REQUESTS),
        nodes=affinity.required(pod),
        preferred_nodes=affinity.preferred(pod),
        tolerations=taints.of_pod(pod),
        ports=ports.of_pod(pod),
        affinity=required,
        anti_affinity=forbidden,
        preferred_pods=preferred,
        spread=_spread(pod, "DoNotSchedule"),
        preferred_spread=_spread(pod, "ScheduleAnyway"),
        volumes=volumes,
        images=tuple(images),
        containers=len(images),
        owned=(
            *(OwnedTerm(term) for term in forbidden),
            *(OwnedTerm(term, required=True) for term in required),
            *(OwnedTerm(term, weight) for weight, term in preferred),
        ),
    )


def _terms(specs: Any, namespace: str, labels: Mapping[str, str]) -> tuple[AffinityTerm, ...]:
    return tuple(_term(one, namespace, labels) for one in specs or ())


def _weighted(specs: Mapping[str, Any], sign: int, namespace: str, labels: Mapping[str, str]) -> list[tuple[int, AffinityTerm]]:
    preferred = specs.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    return [(sign * int(one["weight"]), _term(one["podAffinityTerm"], namespace, labels)) for one in preferred]


def _term(spec: Mapping[str, Any], namespace: str, labels: Mapping[str, str]) -> AffinityTerm:
    selector = selectors.from_label_selector(spec.get("labelSelector"))
    if not selector.nothing:
        selector = _with_keys(selector, spec.get("matchLabelKeys"), labels, "In")
        selector = _with_keys(selector, spec.get("mismatchLabelKeys"), labels, "NotIn")
    named = frozenset(spec.get("namespaces") or ())
    others = spec.get("namespaceSelector")
    if not named and others is None:
        named = frozenset((namespace,))
    chosen = None if others is None else selectors.from_label_selector(others)
    return AffinityTerm(PodTerm(selector, named, chosen), str(spec.get("topologyKey", "")))


def _with_keys(selector: selectors.Selector, keys: Any, labels: Mapping[str, str], operator: selectors.Operator) -> selectors.Selector:
    """`selector` with the pod's own values of `keys`; the API server has usually added them already."""
    more = [selectors.Requirement(key, operator, (labels[key],)) for key in keys or () if key in labels]
    fresh = tuple(one for one in more if one not in selector.requirements)
    return selectors.Selector(selector.requirements + fresh) if fresh else selector


def _spread(pod: meta.Obj, when: str) -> tuple[Spread, ...]:
    constraints = meta.spec(pod).get("topologySpreadConstraints") or ()
    return tuple(spread(one, meta.namespace(pod), meta.labels(pod)) for one in constraints if one.get("whenUnsatisfiable") == when)


def spread(spec: Mapping[str, Any], namespace: str, labels: Mapping[str, str], selector: selectors.Selector | None = None) -> Spread:
    """`selector` replaces the constraint's own, for defaults that have none."""
    if selector is None:
        selector = selectors.from_label_selector(spec.get("labelSelector"))
        if not selector.nothing:
            selector = _with_keys(selector, spec.get("matchLabelKeys"), labels, "In")
    return Spread(
        topology_key=str(spec["topologyKey"]),
        max_skew=int(spec["maxSkew"]),
        pods=PodTerm(selector, frozenset((namespace,))),
        min_domains=int(spec.get("minDomains") or 1),
        honor_affinity=spec.get("nodeAffinityPolicy", "Honor") == "Honor",
        honor_taints=spec.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )


def _image(name: str) -> str:
    """With its tag: a name without one means latest."""
    return name if name.rfind(":") > name.rfind("/") else f"{name}:latest"
