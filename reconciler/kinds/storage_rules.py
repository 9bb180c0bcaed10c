"""What the kinds of storage.k8s.io must fulfil, and what never changes of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds import volume_rules
from reconciler.kinds.rules import check, volumes
from reconciler.model import errors, meta, names
from reconciler.model.errors import FieldError

PARAMETERS_MOST = 512
PARAMETERS_MOST_BYTES = 256 * 1024
NODE_ID_MOST_BYTES = 192
LIFECYCLES = ("Persistent", "Ephemeral")
GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")


def storage_class(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    provisioner = obj.get("provisioner", "")
    if not provisioner:
        yield errors.required("provisioner")
    else:
        yield from check.because("provisioner", provisioner, names.qualified(provisioner.lower()))
    yield from _parameters(obj.get("parameters") or {})
    if obj.get("reclaimPolicy"):
        yield from check.one_of("reclaimPolicy", obj["reclaimPolicy"], ("Delete", "Retain"))
    mode = obj.get("volumeBindingMode")
    yield from check.required_one_of("volumeBindingMode", mode, ("Immediate", "WaitForFirstConsumer"))
    yield from _topologies(obj.get("allowedTopologies") or ())
    if old is not None:
        yield from check.immutable("parameters", obj.get("parameters"), old.get("parameters"), check.shown_labels(obj.get("parameters")))
        for field in ("provisioner", "reclaimPolicy", "volumeBindingMode"):
            yield from check.immutable(field, obj.get(field), old.get(field))


def _parameters(parameters: Mapping[str, str]) -> Iterator[FieldError]:
    if len(parameters) > PARAMETERS_MOST:
        yield errors.too_long("parameters", PARAMETERS_MOST)
        return
    if sum(len(key) + len(value) for key, value in parameters.items()) > PARAMETERS_MOST_BYTES:
        yield errors.too_long("parameters", PARAMETERS_MOST_BYTES)
    if "" in parameters:
        yield errors.invalid("parameters", "", "field can not be empty.")


def _topologies(terms: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    seen: list[dict[str, set[str]]] = []
    for index, term in enumerate(terms):
        path = f"allowedTopologies[{index}]"
        keys: dict[str, set[str]] = {}
        for position, expression in enumerate(term.get("matchLabelExpressions") or ()):
            at, key, values = f"{path}.matchLabelExpressions[{position}]", expression.get("key", ""), expression.get("values") or ()
            if not values:
                yield errors.required(f"{at}.values")
            for offset, value in enumerate(values):
                if value in values[:offset]:
                    yield errors.duplicate(f"{at}.values[{offset}]", value)
            yield from check.qualified(f"{at}.key", key)
            if key in keys:
                yield errors.duplicate(f"{at}.key", key)
            keys[key] = set(values)
        if keys in seen:
            yield errors.duplicate(path, "")
        seen.append(keys)


def driver(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(obj)
    for field, shown in (
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
    ):
        if spec.get(field) is None:
            yield errors.required(f"spec.{shown}")
    if spec.get("fsGroupPolicy") is not None:
        yield from check.one_of("spec.fsGroupPolicy", spec["fsGroupPolicy"], GROUP_POLICIES)
    yield from _token_requests(spec.get("tokenRequests") or ())
    for mode in spec.get("volumeLifecycleModes") or ():
        yield from check.one_of("spec.volumeLifecycleModes", mode, LIFECYCLES, sort=False)
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < 10:
        yield errors.invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, "must be greater than or equal to 10 seconds")
    if old is not None:
        before = meta.spec(old)
        yield from check.immutable("spec.attachedRequired", spec.get("attachRequired"), before.get("attachRequired"))
        yield from check.immutable("spec.volumeLifecycleModes", spec.get("volumeLifecycleModes"), before.get("volumeLifecycleModes"))


def _token_requests(requests: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    audiences: set[str] = set()
    for index, request in enumerate(requests):
        at, audience, seconds = f"spec.tokenRequests[{index}]", request.get("audience", ""), request.get("expirationSeconds")
        if audience in audiences:
            yield errors.duplicate(f"{at}.audience", audience)
            continue
        audiences.add(audience)
        if seconds is not None and seconds < volumes.TOKEN_LEAST_SECONDS:
            yield errors.invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
        if seconds is not None and seconds > volumes.TOKEN_MOST_SECONDS:
            yield errors.invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")


def csi_node(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    found = meta.spec(obj).get("drivers") or ()
    seen: set[str] = set()
    for index, one in enumerate(found):
        at, name = f"spec.drivers[{index}]", one.get("name", "")
        yield from volumes.driver_name(f"{at}.name", name)
        yield from _node_id(f"{at}.nodeID", one.get("nodeID", ""))
        yield from check.non_negative(f"{at}.allocatable.count", (one.get("allocatable") or {}).get("count"))
        if name in seen:
            yield errors.duplicate(f"{at}.name", name)
        seen.add(name)
        yield from _topology_keys(f"{at}.topologyKeys", one.get("topologyKeys") or ())
    if old is not None:
        yield from _drivers_kept(found, meta.spec(old).get("drivers") or ())


def _node_id(path: str, text: str) -> Iterator[FieldError]:
    if not text:
        yield errors.required(path)
    elif len(text.encode()) > NODE_ID_MOST_BYTES:
        yield errors.invalid(path, text, f"must be {NODE_ID_MOST_BYTES} bytes or less")


def _topology_keys(path: str, keys: Sequence[str]) -> Iterator[FieldError]:
    for index, key in enumerate(keys):
        if not key:
            yield errors.required(path)
        elif key in keys[:index]:
            yield errors.duplicate(path, key)
        yield from check.because(path, key, names.qualified(key) if key else ())


def _drivers_kept(new: Sequence[Mapping[str, Any]], old: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    """A driver that is there may go, and come back changed, but not change."""
    before = {one.get("name"): one for one in old}
    for one in new:
        kept = {**one, "allocatable": None}  # this may change
        if one.get("name") in before and kept != {**before[one.get("name")], "allocatable": None}:
            shown = check.internal(kept, Name="", NodeID="", TopologyKeys=None, Allocatable=None)
            yield errors.invalid("spec.drivers", shown, check.IMMUTABLE)


def capacity(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    yield from check.label_selector("nodeTopology", obj.get("nodeTopology"))
    name = obj.get("storageClassName", "")
    yield from check.because("storageClassName", name, names.dns_subdomain(name))
    for field in ("capacity", "maximumVolumeSize"):
        if obj.get(field) is not None:
            yield from check.plain_quantity(field, obj[field])
    if old is not None:
        yield from check.immutable("nodeTopology", obj.get("nodeTopology"), old.get("nodeTopology"))
        yield from check.immutable("storageClassName", name, old.get("storageClassName"))


def attachment(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(obj)
    yield from volumes.driver_name("spec.attacher", spec.get("attacher", ""))
    source = spec.get("source") or {}
    volume, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    only_one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if volume is None and inline is None:
        yield errors.required("spec.source", only_one)
    elif volume is not None and inline is not None:
        yield errors.forbidden("spec.source", only_one)
    elif inline is not None:
        yield from volume_rules.volume_spec("spec.source.inlineVolumeSpec", inline, inline=True)
    elif not volume:
        yield errors.required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName")
    yield from check.subdomain("spec.nodeName", spec.get("nodeName", ""))
    if old is not None:
        yield from check.immutable("spec", spec, meta.spec(old), definition="io.k8s.api.storage.v1.VolumeAttachmentSpec")


def attributes_class(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    yield from volumes.driver_name("driverName", obj.get("driverName", ""))
    if not obj.get("parameters"):
        yield errors.required("parameters", "must contain at least one key/value pair")
    yield from _parameters(obj.get("parameters") or {})
    if old is not None:
        for field in ("driverName", "parameters"):
            if obj.get(field) != old.get(field):
                yield errors.forbidden(field, f"updates to {field} are forbidden.")
