"""ServiceCIDR and IPAddress: from which ranges Services get addresses, and which are taken."""

from reconciler.kinds import columns, workload
from reconciler.model import meta
from reconciler.model.kind import Kind, Version, status_of


def _parent_cell(address: meta.Obj) -> str:
    parent = meta.spec(address).get("parentRef")
    if not parent:
        return columns.NONE
    resource = f"{parent['resource']}.{parent['group']}" if parent.get("group") else parent.get("resource", "")
    return "/".join(filter(None, (resource, parent.get("namespace", ""), parent.get("name", ""))))


KINDS = (
    Kind(
        group="networking.k8s.io",
        kind="ServiceCIDR",
        plural="servicecidrs",
        singular="servicecidr",
        namespaced=False,
        versions=(Version(name="v1", schema="io.k8s.api.networking.v1.ServiceCIDR"),),
        subresources=(status_of("ServiceCIDR"),),
        prepare=workload.keep_status,
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
        columns=(columns.NAME, columns.column("ParentRef", _parent_cell, "@spec.parentRef"), columns.AGE),
        order=5,
    ),
)
