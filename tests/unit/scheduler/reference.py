"""The rules once more, one node at a time, written from their documentation: slow, plain, sharing no code with the columns.

Each filter answers the set of reasons a node fails for, empty when it passes. Each score answers the final 0..100
values of the given feasible nodes. kubernetes.io's scheduling pages and the API reference are the source.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from tests.unit.scheduler.world import World

Obj = Mapping[str, Any]
SUFFIXES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9}


def number(text: str) -> Decimal:
    for suffix, factor in SUFFIXES.items():
        if text.endswith(suffix):
            return Decimal(text.removesuffix(suffix)) * factor
    return Decimal(text.removesuffix("m")) / 1000 if text.endswith("m") else Decimal(text)


def requests(pod: Obj, usual: Mapping[str, Decimal] = {}) -> dict[str, Decimal]:
    """Containers run together; init containers one after the other before them, sidecars stay."""

    def one(container: Obj) -> dict[str, Decimal]:
        resources = container.get("resources", {})
        asked = {name: number(value) for name, value in {**resources.get("limits", {}), **resources.get("requests", {})}.items()}
        return {**usual, **asked}

    def add(*many: Mapping[str, Decimal]) -> dict[str, Decimal]:
        return {name: sum((each.get(name, Decimal(0)) for each in many), Decimal(0)) for each in many for name in each}

    spec = pod["spec"]
    sidecars: dict[str, Decimal] = {}
    phases = []
    for container in spec.get("initContainers", ()):
        phases.append(add(sidecars, one(container)))
        if container.get("restartPolicy") == "Always":
            sidecars = add(sidecars, one(container))
    phases.append(add(sidecars, *(one(container) for container in spec["containers"])))
    peak = {name: max(phase.get(name, Decimal(0)) for phase in phases) for phase in phases for name in phase}
    peak.update({name: number(value) for name, value in spec.get("resources", {}).get("requests", {}).items()})
    return add(peak, {name: number(value) for name, value in spec.get("overhead", {}).items()})


def offered(node: Obj) -> dict[str, Decimal]:
    return {name: number(value) for name, value in node["status"]["allocatable"].items()}


def used(world: World, node: Obj, usual: Mapping[str, Decimal] = {}) -> dict[str, Decimal]:
    total: dict[str, Decimal] = {}
    for pod in world.pods_on(node):
        for name, value in requests(pod, usual).items():
            total[name] = total.get(name, Decimal(0)) + value
    return total


def matches_labels(selector: Obj | None, labels: Mapping[str, str]) -> bool:
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(expression(one, labels) for one in selector.get("matchExpressions", ()))


def expression(one: Obj, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(one["key"]), one.get("values", [])
    match one["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case operator:
            if value is None or not value.lstrip("-").isdigit():
                return False
            return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])


def node_term(term: Obj, node: Obj) -> bool:
    labels, fields = term.get("matchExpressions", ()), term.get("matchFields", ())
    if not labels and not fields:
        return False
    named = {"metadata.name": node["metadata"]["name"]}
    return all(expression(one, node["metadata"]["labels"]) for one in labels) and all(expression(one, named) for one in fields)


def selects_node(pod: Obj, node: Obj) -> bool:
    spec = pod["spec"]
    if any(node["metadata"]["labels"].get(key) != value for key, value in spec.get("nodeSelector", {}).items()):
        return False
    required = spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(node_term(term, node) for term in required["nodeSelectorTerms"])


def tolerates(pod: Obj, taint: Obj) -> bool:
    for one in pod["spec"].get("tolerations", ()):
        if one.get("effect") and one["effect"] != taint["effect"]:
            continue
        if one.get("key") and one["key"] != taint["key"]:
            continue
        if one.get("operator") == "Exists" or (one.get("key") and one.get("value", "") == taint.get("value", "")):
            return True
    return False


def untolerated(pod: Obj, node: Obj, *effects: str) -> list[Obj]:
    return [taint for taint in node["spec"].get("taints", ()) if taint["effect"] in effects and not tolerates(pod, taint)]


def args(world: World, plugin: str) -> Obj:
    return dict(world.arguments.get(plugin, {}))


# Filters.


def node_unschedulable(world: World, pod: Obj, node: Obj) -> set[str]:
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    bad = node["spec"].get("unschedulable") and not tolerates(pod, taint)
    return {"node(s) were unschedulable"} if bad else set()


def node_name(world: World, pod: Obj, node: Obj) -> set[str]:
    wanted = pod["spec"].get("nodeName")
    return {"node(s) didn't match the requested node name"} if wanted and wanted != node["metadata"]["name"] else set()


def taint_toleration(world: World, pod: Obj, node: Obj) -> set[str]:
    return {"node(s) had untolerated taint(s)"} if untolerated(pod, node, "NoSchedule", "NoExecute") else set()


def node_affinity(world: World, pod: Obj, node: Obj) -> set[str]:
    added = args(world, "NodeAffinity").get("addedAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    if added is not None and not any(node_term(term, node) for term in added["nodeSelectorTerms"]):
        return {"node(s) didn't match scheduler-enforced node affinity"}
    return set() if selects_node(pod, node) else {"node(s) didn't match Pod's node affinity/selector"}


def node_ports(world: World, pod: Obj, node: Obj) -> set[str]:
    def ports(one: Obj) -> list[tuple[str, str, int]]:
        sidecars = [c for c in one["spec"].get("initContainers", ()) if c.get("restartPolicy") == "Always"]
        found = []
        for container in [*one["spec"]["containers"], *sidecars]:
            for port in container.get("ports", ()):
                number = port.get("hostPort") or (port["containerPort"] if one["spec"].get("hostNetwork") else 0)
                if number:
                    found.append((port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", number))
        return found

    for ours in ports(pod):
        for other in world.pods_on(node):
            for theirs in ports(other):
                if ours[1:] == theirs[1:] and (ours[0] == theirs[0] or "0.0.0.0" in (ours[0], theirs[0])):
                    return {"node(s) didn't have free ports for the requested pod ports"}
    return set()


def node_resources_fit(world: World, pod: Obj, node: Obj) -> set[str]:
    there, taken = offered(node), used(world, node)
    reasons = set()
    if len(world.pods_on(node)) + 1 > there.get("pods", 0):
        reasons.add("Too many pods")
    ignored = args(world, "NodeResourcesFit")
    for name, asked in requests(pod).items():
        if name in ignored.get("ignoredResources", ()) or name.split("/")[0] in ignored.get("ignoredResourceGroups", ()):
            continue
        if asked > 0 and asked > there.get(name, Decimal(0)) - taken.get(name, Decimal(0)):
            reasons.add(f"Insufficient {name}")
    return reasons


def term_matches(world: World, term: Obj, owner: Obj, other: Obj) -> bool:
    """Whether `other` is among the pods that an affinity term of `owner` speaks of."""
    space = other["metadata"]["namespace"]
    named = term.get("namespaces") or []
    chosen = term.get("namespaceSelector")
    if not named and chosen is None:
        named = [owner["metadata"]["namespace"]]
    around = world.get("namespaces", "", space)
    labels = around["metadata"]["labels"] if around is not None else {}
    if space not in named and not (chosen is not None and matches_labels(chosen, labels)):
        return False
    selector = term.get("labelSelector")
    if selector is None or not matches_labels(selector, other["metadata"]["labels"]):
        return False
    own, theirs = owner["metadata"]["labels"], other["metadata"]["labels"]
    same = all(theirs.get(key) == own[key] for key in term.get("matchLabelKeys", ()) if key in own)
    return same and all(theirs.get(key) != own[key] for key in term.get("mismatchLabelKeys", ()) if key in own)


def pod_terms(pod: Obj, kind: str, required: bool = True) -> list[Any]:
    when = "requiredDuringSchedulingIgnoredDuringExecution" if required else "preferredDuringSchedulingIgnoredDuringExecution"
    return list(pod["spec"].get("affinity", {}).get(kind, {}).get(when, ()))


def share(one: Obj, other: Obj, key: str) -> bool:
    """Whether two nodes are in one domain of `key`."""
    return key in one["metadata"]["labels"] and one["metadata"]["labels"][key] == other["metadata"]["labels"].get(key)


def placed(world: World) -> list[tuple[Obj, Obj]]:
    return [(pod, node) for node in world.nodes for pod in world.pods_on(node)]


def inter_pod_affinity(world: World, pod: Obj, node: Obj) -> set[str]:
    wanted = pod_terms(pod, "podAffinity")
    everyone = placed(world)
    friends = [(other, at) for other, at in everyone if all(term_matches(world, term, pod, other) for term in wanted)]
    if wanted:
        labels = node["metadata"]["labels"]
        if not all(term["topologyKey"] in labels for term in wanted):
            return {"node(s) didn't match pod affinity rules"}
        near = all(any(share(node, at, term["topologyKey"]) for _, at in friends) for term in wanted)
        countable = any(term["topologyKey"] in at["metadata"]["labels"] for _, at in friends for term in wanted)
        first = not countable and all(term_matches(world, term, pod, pod) for term in wanted)
        if not near and not first:
            return {"node(s) didn't match pod affinity rules"}
    for term in pod_terms(pod, "podAntiAffinity"):
        if any(share(node, at, term["topologyKey"]) and term_matches(world, term, pod, other) for other, at in everyone):
            return {"node(s) didn't match pod anti-affinity rules"}
    for other, at in everyone:
        for term in pod_terms(other, "podAntiAffinity"):
            if share(node, at, term["topologyKey"]) and term_matches(world, term, other, pod):
                return {"node(s) didn't satisfy existing pods anti-affinity rules"}
    return set()


SYSTEM = (
    {"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 5, "whenUnsatisfiable": "ScheduleAnyway"},
    {"topologyKey": "kubernetes.io/hostname", "maxSkew": 3, "whenUnsatisfiable": "ScheduleAnyway"},
)


def constraints(world: World, pod: Obj, when: str) -> list[Obj]:
    """The pod's own, or else the profile's defaults with what its services and its owner select."""
    own = pod["spec"].get("topologySpreadConstraints", ())
    if own:
        return [one for one in own if one["whenUnsatisfiable"] == when]
    defaults = args(world, "PodTopologySpread").get("defaultConstraints", ()) if lists_defaults(world) else SYSTEM
    selector = default_selector(world, pod)
    return [{**one, "labelSelector": selector} for one in defaults if selector is not None and one["whenUnsatisfiable"] == when]


def lists_defaults(world: World) -> bool:
    return args(world, "PodTopologySpread").get("defaultingType") == "List"


def default_selector(world: World, pod: Obj) -> Obj | None:
    space, labels = pod["metadata"]["namespace"], pod["metadata"]["labels"]
    wanted: dict[str, str] = {}
    for service in world.objects["services"].values():
        chosen = service["spec"]["selector"]
        if service["metadata"]["namespace"] == space and all(labels.get(key) == value for key, value in chosen.items()):
            wanted.update(chosen)
    owner = next(iter(pod["metadata"].get("ownerReferences", ())), None)
    found = world.get("replicasets.apps", space, owner["name"]) if owner is not None else None
    more = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in (found["spec"]["selector"]["matchLabels"] if found else {}).items()
    ]
    return {"matchLabels": wanted, "matchExpressions": more} if wanted or more else None


def spread_selector(pod: Obj, one: Obj) -> Obj | None:
    selector = one.get("labelSelector")
    if selector is None:
        return None
    more = [
        {"key": key, "operator": "In", "values": [pod["metadata"]["labels"][key]]}
        for key in one.get("matchLabelKeys", ())
        if key in pod["metadata"]["labels"]
    ]
    return {**selector, "matchExpressions": [*selector.get("matchExpressions", ()), *more]}


def spread_count(world: World, pod: Obj, one: Obj, node: Obj) -> int:
    selector = spread_selector(pod, one)
    return sum(
        other["metadata"]["namespace"] == pod["metadata"]["namespace"]
        and "deletionTimestamp" not in other["metadata"]
        and matches_labels(selector, other["metadata"]["labels"])
        for other in world.pods_on(node)
    )


def included(pod: Obj, one: Obj, node: Obj) -> bool:
    if one.get("nodeAffinityPolicy", "Honor") == "Honor" and not selects_node(pod, node):
        return False
    return one.get("nodeTaintsPolicy", "Ignore") == "Ignore" or not untolerated(pod, node, "NoSchedule", "NoExecute")


def pod_topology_spread(world: World, pod: Obj, node: Obj) -> set[str]:
    hard = constraints(world, pod, "DoNotSchedule")
    for one in hard:
        key = one["topologyKey"]
        if key not in node["metadata"]["labels"]:
            return {"node(s) didn't match pod topology spread constraints (missing required label)"}
        domains: dict[str, int] = {}
        for other in world.nodes:
            labels = other["metadata"]["labels"]
            if all(each["topologyKey"] in labels for each in hard) and included(pod, one, other):
                domains[labels[key]] = domains.get(labels[key], 0) + spread_count(world, pod, one, other)
        fewest = min(domains.values()) if domains and len(domains) >= one.get("minDomains", 1) else 0
        own = matches_labels(spread_selector(pod, one), pod["metadata"]["labels"])
        if domains.get(node["metadata"]["labels"][key], 0) + own - fewest > one["maxSkew"]:
            return {"node(s) didn't match pod topology spread constraints"}
    return set()


FILTERS: Mapping[str, Callable[[World, Obj, Obj], set[str]]] = {
    "NodeUnschedulable": node_unschedulable,
    "NodeName": node_name,
    "TaintToleration": taint_toleration,
    "NodeAffinity": node_affinity,
    "NodePorts": node_ports,
    "NodeResourcesFit": node_resources_fit,
    "PodTopologySpread": pod_topology_spread,
    "InterPodAffinity": inter_pod_affinity,
}


# Scores.

USUAL = {"cpu": Decimal("0.1"), "memory": Decimal(200 * 2**20)}


def whole(name: str, value: Decimal) -> int:
    return int(value * 1000) if name == "cpu" else int(value)


def allocated(world: World, pod: Obj, nodes: Sequence[Obj]) -> list[int]:
    """LeastAllocated, MostAllocated and RequestedToCapacityRatio."""
    strategy = args(world, "NodeResourcesFit").get("scoringStrategy", {})
    kind = strategy.get("type", "LeastAllocated")
    found = []
    for node in nodes:
        total = weights = 0
        for resource in strategy.get("resources") or ({"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1}):
            name, weight = resource["name"], resource["weight"]
            capacity = whole(name, offered(node).get(name, Decimal(0)))
            own = requests(pod, USUAL).get(name, Decimal(0))
            if not capacity or (name not in USUAL and not own):
                continue  # a node without it, or a pod that does not ask for it
            asked = whole(name, used(world, node, USUAL).get(name, Decimal(0)) + own)
            rated = rate(kind, strategy, asked, capacity)
            if rated or kind != "RequestedToCapacityRatio":
                total += rated * weight
                weights += weight
        rounds = kind == "RequestedToCapacityRatio"
        found.append(0 if not weights else math.floor(total / weights + 0.5) if rounds else total // weights)
    return found


def rate(kind: str, strategy: Obj, asked: int, capacity: int) -> int:
    if kind == "LeastAllocated":
        return (capacity - asked) * 100 // capacity if asked <= capacity else 0
    if kind == "MostAllocated":
        return min(asked, capacity) * 100 // capacity
    at = 100 if asked > capacity else asked * 100 // capacity
    points = [(point["utilization"], point["score"] * 10) for point in strategy["requestedToCapacityRatio"]["shape"]]
    for (x, y), (before, low) in zip(points, [points[0], *points], strict=False):
        if at <= x:
            return y if x == before else low + int((y - low) * (at - before) / (x - before))
    return int(points[-1][1])


def balanced(world: World, pod: Obj, nodes: Sequence[Obj]) -> list[int]:
    names = [
        one["name"] for one in args(world, "NodeResourcesBalancedAllocation").get("resources") or ({"name": "cpu"}, {"name": "memory"})
    ]
    if not any(requests(pod).get(name) for name in names):
        return [0] * len(nodes)
    found = []
    for node in nodes:
        shares = []
        for name in names:
            capacity = whole(name, offered(node).get(name, Decimal(0)))
            own = requests(pod).get(name, Decimal(0))
            if capacity and (own or name in USUAL):
                shares.append(min(whole(name, used(world, node).get(name, Decimal(0)) + own) / capacity, 1.0))
        if len(shares) == 2:
            deviation = abs((shares[0] - shares[1]) / 2)
        else:
            mean = sum(shares) / max(len(shares), 1)
            deviation = math.sqrt(sum((share - mean) * (share - mean) for share in shares) / len(shares)) if len(shares) > 2 else 0.0
        found.append(int((1 - deviation) * 100))
    return found


def by_highest(raw: Sequence[int]) -> list[int]:
    highest = max(raw)
    return [100 * one // highest for one in raw] if highest else [0] * len(raw)


def prefers_nodes(world: World, pod: Obj, nodes: Sequence[Obj]) -> list[int]:
    when = "preferredDuringSchedulingIgnoredDuringExecution"
    preferred = [
        *pod["spec"].get("affinity", {}).get("nodeAffinity", {}).get(when, ()),
        *args(world, "NodeAffinity").get("addedAffinity", {}).get(when, ()),
    ]
    return by_highest([sum(one["weight"] for one in preferred if node_term(one["preference"], node)) for node in nodes])


def avoids_taints(world: World, pod: Obj, nodes: Sequence[Obj]) -> list[int]:
    useful = [one for one in pod["spec"].get("tolerations", ()) if one.get("effect", "") in ("", "PreferNoSchedule")]
    careful = {**pod, "spec": {**pod["spec"], "tolerations": useful}}
    return [100 - one for one in by_highest([len(untolerated(careful, node, "PreferNoSchedule")) for node in nodes])]


def has_images(world: World, pod: Obj, nodes: Sequence[Obj]) -> list[int]:
    def tagged(name: str) -> str:
        return name if ":" in name.split("/")[-1] else f"{name}:latest"

    containers = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())]
    found = []
    for node in nodes:
        total = 0
        for container in containers:
            name = tagged(container["image"])
            size = {each: image["sizeBytes"] for image in node["status"]["images"] for each in image["names"]}.get(name, 0)
            spread = sum(any(name in image["names"] for image in other["status"]["images"]) for other in world.nodes)
            total += int(size * (spread / len(world.nodes)))
        least, most = 23 * 2**20, 1000 * 2**20 * len(containers)
        found.append(100 * (min(max(total, least), most) - least) // (most - least))
    return found


def prefers_pods(world: World, pod: Obj, nodes: Sequence[Obj]) -> list[int]:
    config = args(world, "InterPodAffinity")
    own = any(pod_terms(pod, kind, required=False) for kind in ("podAffinity", "podAntiAffinity"))
    if config.get("ignorePreferredTermsOfExistingPods") and not own:
        return [0] * len(nodes)
    raw = []
    for node in nodes:
        total = 0
        for other, at in placed(world):
            for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
                for one in pod_terms(pod, kind, required=False):
                    term = one["podAffinityTerm"]
                    total += sign * one["weight"] * (share(node, at, term["topologyKey"]) and term_matches(world, term, pod, other))
                for one in pod_terms(other, kind, required=False):
                    term = one["podAffinityTerm"]
                    total += sign * one["weight"] * (share(node, at, term["topologyKey"]) and term_matches(world, term, other, pod))
            for term in pod_terms(other, "podAffinity"):
                near = share(node, at, term["topologyKey"]) and term_matches(world, term, other, pod)
                total += config.get("hardPodAffinityWeight", 1) * near
        raw.append(total)
    low, high = min(raw), max(raw)
    return [int(100 * ((one - low) / (high - low))) if high > low else 0 for one in raw]


def spreads(world: World, pod: Obj, nodes: Sequence[Obj]) -> list[int]:
    soft = constraints(world, pod, "ScheduleAnyway")
    if not soft:
        return [0] * len(nodes)
    needs_all = bool(pod["spec"].get("topologySpreadConstraints")) or lists_defaults(world)

    def counts(node: Obj) -> bool:
        return not needs_all or all(one["topologyKey"] in node["metadata"]["labels"] for one in soft)

    raw: list[int | None] = []
    for node in nodes:
        if not counts(node):
            raw.append(None)
            continue
        total = 0.0
        for one in soft:
            key = one["topologyKey"]
            if key not in node["metadata"]["labels"]:
                continue
            if key == "kubernetes.io/hostname":
                count, domains = spread_count(world, pod, one, node), sum(map(counts, nodes))
            else:
                domains = len({each["metadata"]["labels"].get(key) for each in nodes if counts(each)})
                near = [other for other in world.nodes if counts(other) and included(pod, one, other) and share(node, other, key)]
                count = sum(spread_count(world, pod, one, other) for other in near)
            total += count * math.log(domains + 2) + one["maxSkew"] - 1
        raw.append(math.floor(total + 0.5))
    counted = [one for one in raw if one is not None]
    if not counted:
        return [0] * len(nodes)
    low, high = min(counted), max(counted)
    return [0 if one is None else 100 * (high + low - one) // high if high else 100 for one in raw]


SCORES: Mapping[str, Callable[[World, Obj, Sequence[Obj]], list[int]]] = {
    "NodeResourcesFit": allocated,
    "NodeResourcesBalancedAllocation": balanced,
    "NodeAffinity": prefers_nodes,
    "TaintToleration": avoids_taints,
    "ImageLocality": has_images,
    "InterPodAffinity": prefers_pods,
    "PodTopologySpread": spreads,
}
