"""Ingress and IngressClass: HTTP from outside, by host and path, to Services."""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds import columns, ingress_rules, pod_defaults, workload
from reconciler.model import meta
from reconciler.model.kind import Health, Kind, Version, status_of

DEFAULT_CLASS_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"


def class_name(ingress: meta.Obj) -> str:
    return str(meta.spec(ingress).get("ingressClassName") or meta.annotations(ingress).get(ingress_rules.CLASS_ANNOTATION) or "")


def addresses(ingress: meta.Obj) -> tuple[str, ...]:
    found = (meta.status(ingress).get("loadBalancer") or {}).get("ingress") or ()
    return tuple(one.get("ip") or one.get("hostname") or "" for one in found)


def prepare(ingress: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    return {**ingress, "status": {"loadBalancer": {}} if old is None else old.get("status") or {"loadBalancer": {}}}


def warn(ingress: meta.Obj, old: meta.Obj | None) -> Iterator[str]:
    if old is None and ingress_rules.CLASS_ANNOTATION in meta.annotations(ingress):
        yield f"annotation \"{ingress_rules.CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"


def default_class(ingress_class: meta.Obj) -> meta.Obj:
    def spec(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        return pod_defaults.inside(wanted, "parameters", lambda one: pod_defaults.filled(one, {"scope": "Cluster"}))

    return pod_defaults.inside(ingress_class, "spec", spec)


def health(ingress: meta.Obj) -> Health:
    return Health("Healthy") if addresses(ingress) else Health("Progressing", "it waits for an address")


def _hosts_cell(ingress: meta.Obj) -> str:
    hosts = [rule["host"] for rule in meta.spec(ingress).get("rules") or () if rule.get("host")]
    return columns.first_few(hosts, nothing="*")


def _parameters_cell(ingress_class: meta.Obj) -> str:
    parameters = meta.spec(ingress_class).get("parameters")
    if not parameters:
        return columns.NONE
    group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
    return f"{parameters['kind']}{group}/{parameters['name']}"


KINDS = (
    Kind(
        group="networking.k8s.io",
        kind="Ingress",
        plural="ingresses",
        singular="ingress",
        short_names=("ing",),
        versions=(Version(name="v1", schema="io.k8s.api.networking.v1.Ingress"),),
        subresources=(status_of("Ingress"),),
        prepare=prepare,
        prepare_status=workload.keep_spec,
        validate=ingress_rules.ingress,
        warn=warn,
        has_generation=True,
        columns=(
            columns.NAME,
            columns.column(
                "Class",
                lambda i: class_name(i) or columns.NONE,
                "The name of the IngressClass resource that should be used for additional configuration",
            ),
            columns.column("Hosts", _hosts_cell, "Hosts that incoming requests are matched against before the ingress rule"),
            columns.column(
                "Address", lambda i: ",".join(addresses(i)), "Address is a list containing ingress points for the load-balancer"
            ),
            columns.column("Ports", lambda i: "80, 443" if meta.spec(i).get("tls") else "80", "Ports of TLS configurations that open"),
            columns.AGE,
        ),
        health=health,
        order=70,
    ),
    Kind(
        group="networking.k8s.io",
        kind="IngressClass",
        plural="ingressclasses",
        singular="ingressclass",
        namespaced=False,
        versions=(Version(name="v1", schema="io.k8s.api.networking.v1.IngressClass", default=default_class),),
        validate=ingress_rules.ingress_class,
        has_generation=True,
        columns=(
            columns.NAME,
            columns.column(
                "Controller", lambda c: meta.spec(c).get("controller", ""), "Controller that is responsible for handling this class"
            ),
            columns.column("Parameters", _parameters_cell, "A reference to a resource with additional parameters"),
            columns.AGE,
        ),
        order=10,
    ),
)
