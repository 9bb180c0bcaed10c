"""Hypothesis strategies: small clusters whose labels, taints and pods collide often enough to matter."""

from typing import Any

from hypothesis import strategies as st

from tests.unit.scheduler import world

KEYS = ("zone", "rack", "disk")
VALUES = ("a", "b", "1", "2")
APPS = ("web", "db")
NAMESPACES = ("default", "default", "default", "other")
HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
EFFECTS = ("NoSchedule", "NoExecute", "PreferNoSchedule")
IMAGES = ("i:latest", "big:1")

labels = st.fixed_dictionaries(
    {"zone": st.sampled_from("ab")}, optional={**{key: st.sampled_from(VALUES) for key in KEYS[1:]}, ZONE: st.sampled_from("ab")}
)
wanted_labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=1)
apps = st.fixed_dictionaries({"app": st.sampled_from(APPS)}, optional={"tier": st.sampled_from(("x", "y"))})
topology = st.sampled_from((HOSTNAME, "zone", "zone", "rack"))


def taint() -> st.SearchStrategy[dict[str, str]]:
    return st.fixed_dictionaries(
        {"key": st.sampled_from(("k", "z")), "effect": st.sampled_from(EFFECTS)}, optional={"value": st.sampled_from("vw")}
    )


def toleration() -> st.SearchStrategy[dict[str, str]]:
    equal = st.fixed_dictionaries(
        {"key": st.sampled_from(("k", "z"))},
        optional={"operator": st.just("Equal"), "value": st.sampled_from("vw"), "effect": st.sampled_from(EFFECTS)},
    )
    exists = st.fixed_dictionaries(
        {"operator": st.just("Exists")},
        optional={"key": st.sampled_from(("k", "z", "node.kubernetes.io/unschedulable")), "effect": st.sampled_from(EFFECTS)},
    )
    return st.one_of(equal, exists)


@st.composite
def expression(draw: st.DrawFn, keys: tuple[str, ...] = KEYS, values: tuple[str, ...] = VALUES, numbers: bool = True) -> dict[str, Any]:
    operators = ["In", "NotIn", "Exists", "DoesNotExist", *(["Gt", "Lt"] if numbers else [])]
    operator = draw(st.sampled_from(operators))
    found: dict[str, Any] = {"key": draw(st.sampled_from(keys)), "operator": operator}
    if operator in ("In", "NotIn"):
        found["values"] = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2))
    elif operator in ("Gt", "Lt"):
        found["values"] = [draw(st.sampled_from("012"))]
    return found


def node_term(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    field = st.builds(
        lambda operator, name: {"key": "metadata.name", "operator": operator, "values": [name]},
        st.sampled_from(("In", "NotIn")),
        st.sampled_from([*names, "nowhere"]),
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "matchExpressions": st.lists(expression(), min_size=1, max_size=2),
            "matchFields": st.lists(field, min_size=1, max_size=1),
        },
    )


label_selector = st.one_of(
    st.just({}),
    st.just({"matchLabels": {"app": "web"}}),
    st.fixed_dictionaries({"matchLabels": st.dictionaries(st.just("app"), st.sampled_from(APPS), max_size=1)}),
    st.fixed_dictionaries({"matchExpressions": st.lists(expression(("app", "tier"), ("web", "x"), numbers=False), max_size=1)}),
    st.none(),
)


@st.composite
def pod_term(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {"topologyKey": draw(topology)}
    selector = draw(label_selector)
    if selector is not None:
        found["labelSelector"] = selector
        for keys in ("matchLabelKeys", "mismatchLabelKeys"):
            if draw(st.integers(0, 4)) == 0:
                found[keys] = ["tier"]
    if draw(st.integers(0, 3)) == 0:
        found["namespaces"] = draw(st.lists(st.sampled_from(NAMESPACES), max_size=2))
    if draw(st.integers(0, 3)) == 0:
        found["namespaceSelector"] = draw(st.sampled_from([{}, {"matchLabels": {"team": "red"}}]))
    return found


@st.composite
def spread(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {
        "topologyKey": draw(topology),
        "maxSkew": draw(st.integers(1, 2)),
        "whenUnsatisfiable": draw(st.sampled_from(("DoNotSchedule", "ScheduleAnyway"))),
    }
    selector = draw(label_selector)
    if selector is not None:
        found["labelSelector"] = selector
        if draw(st.booleans()):
            found["matchLabelKeys"] = ["tier"]
    if found["whenUnsatisfiable"] == "DoNotSchedule" and draw(st.booleans()):
        found["minDomains"] = draw(st.integers(1, 3))
    for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        if draw(st.booleans()):
            found[name] = draw(st.sampled_from(("Honor", "Ignore")))
    return found


@st.composite
def affinity(draw: st.DrawFn, names: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    required, preferred = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
    if draw(st.booleans()):
        node: dict[str, Any] = {}
        if draw(st.booleans()):
            node[required] = {"nodeSelectorTerms": draw(st.lists(node_term(names), min_size=1, max_size=2))}
        weighted = st.fixed_dictionaries({"weight": st.integers(1, 100), "preference": node_term(names)})
        node[preferred] = draw(st.lists(weighted, max_size=2))
        found["nodeAffinity"] = node
    for kind in ("podAffinity", "podAntiAffinity"):
        if draw(st.booleans()):
            weighted = st.fixed_dictionaries({"weight": st.integers(1, 100), "podAffinityTerm": pod_term()})
            found[kind] = {required: draw(st.lists(pod_term(), max_size=2)), preferred: draw(st.lists(weighted, max_size=2))}
    return found


@st.composite
def resources(draw: st.DrawFn) -> dict[str, Any]:
    quantities = {
        "cpu": st.sampled_from(("100m", "1", "1500m")),
        "memory": st.sampled_from(("100Mi", "1Gi")),
        "example.com/gpu": st.sampled_from("12"),
    }
    found: dict[str, Any] = {"requests": draw(st.fixed_dictionaries({}, optional=quantities))}
    if draw(st.booleans()):
        found["limits"] = draw(st.fixed_dictionaries({}, optional={"cpu": st.just("2"), "memory": st.just("2Gi")}))
    return found


@st.composite
def container(draw: st.DrawFn) -> dict[str, Any]:
    port = st.fixed_dictionaries(
        {"containerPort": st.sampled_from((80, 81))},
        optional={
            "hostPort": st.sampled_from((80, 81)),
            "hostIP": st.sampled_from(("10.0.0.1", "10.0.0.2", "0.0.0.0")),
            "protocol": st.sampled_from(("TCP", "UDP")),
        },
    )
    return {
        "name": "c",
        "image": draw(st.sampled_from(("i", "big:1"))),
        "resources": draw(resources()),
        "ports": draw(st.lists(port, max_size=1)),
    }


@st.composite
def pods(draw: st.DrawFn, name: str, names: list[str], on: str = "") -> dict[str, Any]:
    spec: dict[str, Any] = {"tolerations": draw(st.lists(toleration(), max_size=2))}
    if draw(st.booleans()):
        spec["nodeSelector"] = draw(wanted_labels)
    spec["affinity"] = draw(affinity(names))
    spec["topologySpreadConstraints"] = draw(st.lists(spread(), max_size=2))
    spec["hostNetwork"] = draw(st.sampled_from((False, False, True)))
    if on:
        spec["nodeName"] = on
    made = world.pod(
        name, namespace=draw(st.sampled_from(NAMESPACES)), labels=draw(apps), deleting=bool(on) and draw(st.integers(0, 3)) == 0, **spec
    )
    made["spec"]["containers"] = draw(st.lists(container(), min_size=1, max_size=2))
    init = draw(st.lists(container(), max_size=2))
    made["spec"]["initContainers"] = [{**one, **({"restartPolicy": "Always"} if draw(st.booleans()) else {})} for one in init]
    if draw(st.booleans()):
        made["spec"]["overhead"] = {"cpu": "250m"}
    if draw(st.integers(0, 3)) == 0:
        made["spec"]["resources"] = {"requests": {draw(st.sampled_from(("cpu", "memory"))): "1"}}
    return made


@st.composite
def nodes(draw: st.DrawFn, name: str) -> dict[str, Any]:
    more: dict[str, Any] = {"labels": draw(labels), "taints": draw(st.lists(taint(), max_size=2))}
    more["resources"] = {"example.com/gpu": "2"} if draw(st.booleans()) else {}
    more["images"] = [
        {"names": [image], "sizeBytes": draw(st.sampled_from((10, 300, 900))) * 2**20} for image in IMAGES if draw(st.booleans())
    ]
    if draw(st.booleans()):
        more["unschedulable"] = True
    return world.node(
        name, draw(st.sampled_from(("1", "4"))), draw(st.sampled_from(("1Gi", "8Gi"))), draw(st.sampled_from(("2", "110"))), **more
    )


@st.composite
def profiles(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of plugins, for some of them."""
    required, preferred = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
    term = {"matchExpressions": [{"key": "rack", "operator": "Exists"}]}
    line = [{"utilization": 0, "score": 1}, {"utilization": 40, "score": 10}, {"utilization": 90, "score": 0}]
    resources = [{"name": "cpu", "weight": 3}, {"name": "memory", "weight": 1}, {"name": "example.com/gpu", "weight": 5}]
    strategies = (
        {"type": "LeastAllocated", "resources": resources},
        {"type": "MostAllocated", "resources": resources[:2]},
        {"type": "MostAllocated", "resources": resources},
        {"type": "RequestedToCapacityRatio", "resources": resources, "requestedToCapacityRatio": {"shape": line}},
    )
    constraint = {
        "topologyKey": draw(topology),
        "maxSkew": 1,
        "whenUnsatisfiable": draw(st.sampled_from(("DoNotSchedule", "ScheduleAnyway"))),
    }
    every = {
        "NodeAffinity": st.sampled_from(
            (
                {"addedAffinity": {required: {"nodeSelectorTerms": [term]}}},
                {"addedAffinity": {preferred: [{"weight": 9, "preference": term}]}},
            )
        ),
        "NodeResourcesFit": st.fixed_dictionaries(
            {},
            optional={
                "scoringStrategy": st.sampled_from(strategies),
                "ignoredResources": st.just(["example.com/gpu"]),
                "ignoredResourceGroups": st.just(["example.com"]),
            },
        ),
        "NodeResourcesBalancedAllocation": st.just({"resources": [{"name": one["name"], "weight": 1} for one in resources]}),
        "InterPodAffinity": st.fixed_dictionaries(
            {}, optional={"hardPodAffinityWeight": st.sampled_from((0, 50)), "ignorePreferredTermsOfExistingPods": st.booleans()}
        ),
        "PodTopologySpread": st.just({"defaultingType": "List", "defaultConstraints": [constraint]}),
    }
    return draw(st.fixed_dictionaries({}, optional=every))


@st.composite
def workloads(draw: st.DrawFn, made: world.World, pod: dict[str, Any]) -> dict[str, Any]:
    """The pod, perhaps behind a service and owned by a ReplicaSet, and so spread by default."""
    if draw(st.booleans()):
        metadata = {"name": "s", "namespace": draw(st.sampled_from(NAMESPACES))}
        made.add({"kind": "Service", "metadata": metadata, "spec": {"selector": {"app": draw(st.sampled_from(APPS))}}})
    if not draw(st.booleans()):
        return pod
    selector = {"matchLabels": draw(st.dictionaries(st.just("app"), st.sampled_from(APPS), max_size=1))}
    made.add({"kind": "ReplicaSet", "metadata": {"name": "rs", "namespace": "default"}, "spec": {"selector": selector}})
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs", "controller": True}
    return {**pod, "metadata": {**pod["metadata"], "ownerReferences": [owner]}}


@st.composite
def clusters(draw: st.DrawFn) -> tuple[world.World, dict[str, Any]]:
    """A world and a pending pod."""
    names = [f"n{number}" for number in range(draw(st.integers(1, 4)))]
    made = world.World([world.namespace("default", team="red"), world.namespace("other", team="blue")])
    for name in names:
        made.add(draw(nodes(name)))
    for number in range(draw(st.integers(0, 8))):
        made.add(draw(pods(f"e{number}", names, on=draw(st.sampled_from(names)))))
    made.arguments = draw(profiles())
    return made, draw(workloads(made, draw(pods("p", names))))


@st.composite
def focused(draw: st.DrawFn, rule: str) -> tuple[world.World, dict[str, Any]]:
    """A world that is about little but `rule`: many small pods with few labels, so that its counts and limits matter."""
    names = [f"n{number}" for number in range(draw(st.integers(2, 4)))]
    made = world.World([world.namespace("default", team="red"), world.namespace("other", team="blue")])
    for name in names:
        node = world.node(name, labels=draw(labels), taints=draw(st.lists(taint(), max_size=1)) if "Taint" in rule else [])
        made.add(node)
    if rule == "ImageLocality":
        for name in names:
            images = [{"names": [image], "sizeBytes": draw(st.integers(20, 60)) * 2**20} for image in IMAGES if draw(st.booleans())]
            made.add(world.node(name, images=images))
    for number in range(draw(st.integers(2, 10))):
        more = draw(related()) if rule == "InterPodAffinity" and draw(st.booleans()) else {}
        deleting = draw(st.integers(0, 4)) == 0
        made.add(world.pod(f"e{number}", labels=draw(apps), on=draw(st.sampled_from(names)), deleting=deleting, **more))
    spec: dict[str, Any] = {}
    if rule == "PodTopologySpread":
        spec = {"topologySpreadConstraints": draw(st.lists(spread(), max_size=2))}
        spec["nodeSelector"] = draw(wanted_labels)
    elif rule == "InterPodAffinity":
        spec = draw(related())
    elif rule == "NodeAffinity":
        spec = {"affinity": draw(affinity(names))}
    made.arguments = {name: args for name, args in draw(profiles()).items() if name == rule}
    pod = world.pod("p", draw(resources())["requests"], labels=draw(apps), image=draw(st.sampled_from(("i", "big:1"))), **spec)
    return made, draw(workloads(made, pod)) if rule == "PodTopologySpread" else pod


@st.composite
def related(draw: st.DrawFn) -> dict[str, Any]:
    """Affinity to and against pods, of one kind or two."""
    found: dict[str, Any] = {}
    required, preferred = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
    for kind in draw(st.sets(st.sampled_from(("podAffinity", "podAntiAffinity")), min_size=1)):
        if draw(st.booleans()):
            found[kind] = {required: draw(st.lists(pod_term(), min_size=1, max_size=2))}
        else:
            weighted = st.fixed_dictionaries({"weight": st.integers(1, 100), "podAffinityTerm": pod_term()})
            found[kind] = {preferred: draw(st.lists(weighted, min_size=1, max_size=2))}
    return {"affinity": found}
