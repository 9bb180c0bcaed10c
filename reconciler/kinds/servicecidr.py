"""ServiceCIDR and IPAddress: from which ranges Services get addresses, and which are taken."""

from collections.abc import Iterator

from reconciler.kinds import columns, workload
from reconciler.kinds.rules import addresses, check
from reconciler.model import errors, meta, names
from reconciler.model.errors import FieldError
from reconciler.model.kind import Kind, Version, status_of


def _parent_cell(address: meta.Obj) -> str:
    parent = meta.spec(address).get("parentRef")
    if not parent:
        return columns.NONE
    resource = f"{parent['resource']}.{parent['group']}" if parent.get("group") else parent.get("resource", "")
    return "/".join(filter(None, (resource, parent.get("namespace", ""), parent.get("name", ""))))


def validate_range(service_cidr: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    ranges = list(meta.spec(service_cidr).get("cidrs") or ())
    if not ranges:
        yield errors.required("spec.cidrs", "at least one CIDR required")
    if len(ranges) > 2:
        yield errors.invalid("spec.cidrs", {"CIDRs": ranges}, "may only hold up to 2 values")
        return
    for index, text in enumerate(ranges):
        yield from addresses.cidr(f"spec.cidrs[{index}]", text)
    if len(ranges) == 2 and not addresses.one_per_family(ranges):
        detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        yield errors.invalid("spec.cidrs", ranges, detail)
    if old is not None:
        for index, before in enumerate(meta.spec(old).get("cidrs") or ()):
            if index >= len(ranges) or ranges[index] != before:
                yield errors.invalid(f"spec.cidrs[{index}]", ranges[index] if index < len(ranges) else "", check.IMMUTABLE)


def validate_address(address: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    parent = meta.spec(address).get("parentRef")
    if parent is None:
        yield errors.required("spec.parentRef")
        return
    if parent.get("group"):
        yield from check.subdomain("spec.parentRef.group", parent["group"])
    for field in ("resource", "name"):
        if not parent.get(field):
            yield errors.required(f"spec.parentRef.{field}")
        else:
            yield from check.because(f"spec.parentRef.{field}", parent[field], names.path_segment(parent[field]))
    if parent.get("namespace"):
        yield from check.because("spec.parentRef.namespace", parent["namespace"], names.path_segment(parent["namespace"]))
    if old is not None:
        shown = check.internal(parent, Group="", Resource="", Namespace="", Name="")
        yield from check.immutable("spec.parentRef", parent, meta.spec(old).get("parentRef"), shown)


KINDS = (
    Kind(
        group="networking.k8s.io",
        kind="ServiceCIDR",
        metadata_on_update="changes",
        plural="servicecidrs",
        singular="servicecidr",
        namespaced=False,
        versions=(Version(name="v1", schema="io.k8s.api.networking.v1.ServiceCIDR"),),
        subresources=(status_of("ServiceCIDR"),),
        prepare=workload.keep_status,
        validate=validate_range,
        prepare_status=workload.keep_spec,
        columns=(columns.NAME, columns.column("CIDRs", lambda c: ",".join(meta.spec(c).get("cidrs") or ()), "@spec.cidrs"), columns.AGE),
        order=5,
    ),
    Kind(
        group="networking.k8s.io",
        kind="IPAddress",
        plural="ipaddresses",
        singular="ipaddress",
        list_kind="IPAddressList",
        short_names=("ip",),
        namespaced=False,
        versions=(Version(name="v1", schema="io.k8s.api.networking.v1.IPAddress"),),
        validate=validate_address,
        name_rule="ip",
        columns=(columns.NAME, columns.column("ParentRef", _parent_cell, "@spec.parentRef"), columns.AGE),
        order=5,
    ),
)
