"""FlowSchema and PriorityLevelConfiguration: which requests wait for which when the server is busy."""

from collections.abc import Mapping
from typing import Any

from reconciler.kinds import columns, flowcontrol_rules, pod_defaults, workload
from reconciler.model import meta
from reconciler.model.kind import Kind, Version, status_of

GROUP = "flowcontrol.apiserver.k8s.io"
PRECEDENCE = 1000
QUEUING = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}


def default_schema(schema: meta.Obj) -> meta.Obj:
    def spec(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        wanted = wanted if wanted.get("matchingPrecedence") else {**wanted, "matchingPrecedence": PRECEDENCE}
        return wanted

    return pod_defaults.inside(schema, "spec", spec)


def default_level(level: meta.Obj) -> meta.Obj:
    def limited(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        wanted = pod_defaults.filled(wanted, {"nominalConcurrencyShares": 30, "lendablePercent": 0})
        return pod_defaults.inside(wanted, "limitResponse", response)

    def response(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        return pod_defaults.inside(wanted, "queuing", lambda queuing: _default_queuing(queuing))

    def exempt(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        return pod_defaults.filled(wanted, {"nominalConcurrencyShares": 0, "lendablePercent": 0})

    return pod_defaults.inside(
        level, "spec", lambda spec: pod_defaults.inside(pod_defaults.inside(spec, "limited", limited), "exempt", exempt)
    )


def _default_queuing(queuing: Mapping[str, Any]) -> Mapping[str, Any]:
    """Zero counts as unset."""
    return {**queuing, **{name: value for name, value in QUEUING.items() if not queuing.get(name)}}


def _queuing_cell(level: meta.Obj, field: str) -> Any:
    limited = meta.spec(level).get("limited") or {}
    queuing = (limited.get("limitResponse") or {}).get("queuing")
    return str(queuing.get(field, "")) if queuing else columns.NONE


def _shares_cell(level: meta.Obj) -> str:
    spec = meta.spec(level)
    shares = (spec.get("limited") or spec.get("exempt") or {}).get("nominalConcurrencyShares")
    return columns.NONE if shares is None else str(shares)


def _missing_level_cell(schema: meta.Obj) -> str:
    found = workload.condition(schema, "Dangling")
    return "?" if found is None else str(found.get("status", "?"))


KINDS = (
    Kind(
        group=GROUP,
        kind="FlowSchema",
        metadata_on_update="whole",
        plural="flowschemas",
        singular="flowschema",
        namespaced=False,
        versions=(Version(name="v1", schema="io.k8s.api.flowcontrol.v1.FlowSchema", default=default_schema),),
        validate=flowcontrol_rules.flow_schema,
        subresources=(status_of("FlowSchema"),),
        prepare=workload.keep_status,
        prepare_status=workload.keep_spec,
        has_generation=True,
        columns=(
            columns.NAME,
            columns.column(
                "PriorityLevel",
                lambda s: (meta.spec(s).get("priorityLevelConfiguration") or {}).get("name", ""),
                "@spec.priorityLevelConfiguration",
            ),
            columns.column("MatchingPrecedence", lambda s: meta.spec(s).get("matchingPrecedence", 0), "@spec.matchingPrecedence"),
            columns.column(
                "DistinguisherMethod",
                lambda s: (meta.spec(s).get("distinguisherMethod") or {}).get("type", columns.NONE),
                "@spec.distinguisherMethod",
            ),
            columns.AGE,
            columns.column("MissingPL", _missing_level_cell, "references a broken or non-existent PriorityLevelConfiguration"),
        ),
        order=10,
    ),
    Kind(
        group=GROUP,
        kind="PriorityLevelConfiguration",
        metadata_on_update="whole",
        plural="prioritylevelconfigurations",
        singular="prioritylevelconfiguration",
        namespaced=False,
        versions=(Version(name="v1", schema="io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration", default=default_level),),
        validate=flowcontrol_rules.priority_level,
        subresources=(status_of("PriorityLevelConfiguration"),),
        prepare=workload.keep_status,
        prepare_status=workload.keep_spec,
        has_generation=True,
        columns=(
            columns.NAME,
            columns.column("Type", lambda p: meta.spec(p).get("type", ""), "@spec.type"),
            columns.column("NominalConcurrencyShares", _shares_cell, "@spec.limited.nominalConcurrencyShares"),
            columns.column("Queues", lambda p: _queuing_cell(p, "queues"), "@spec.limited.limitResponse.queuing.queues"),
            columns.column("HandSize", lambda p: _queuing_cell(p, "handSize"), "@spec.limited.limitResponse.queuing.handSize"),
            columns.column(
                "QueueLengthLimit",
                lambda p: _queuing_cell(p, "queueLengthLimit"),
                "@spec.limited.limitResponse.queuing.queueLengthLimit",
            ),
            columns.AGE,
        ),
        order=9,
    ),
)
