"""admissionregistration.k8s.io: webhooks and policies that judge or change objects on their way in."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from reconciler.kinds import admission_rules, columns, pod_defaults, workload
from reconciler.model import meta
from reconciler.model.errors import FieldError
from reconciler.model.kind import Kind, Version, status_of

GROUP = "admissionregistration.k8s.io"
ANY_SCOPE = {"scope": "*"}
Rules = Callable[[meta.Obj, meta.Obj | None], Iterable[FieldError]]
MATCH_DEFAULTS = {"namespaceSelector": {}, "objectSelector": {}, "matchPolicy": "Equivalent"}


def default_webhooks(configuration: meta.Obj, **extra: Any) -> meta.Obj:
    defaults = {"failurePolicy": "Fail", "timeoutSeconds": 10, **MATCH_DEFAULTS, **extra}

    def webhook(one: Mapping[str, Any]) -> Mapping[str, Any]:
        one = pod_defaults.filled(one, defaults)
        one = pod_defaults.mapped(one, "rules", lambda rule: pod_defaults.filled(rule, ANY_SCOPE))
        return pod_defaults.inside(
            one,
            "clientConfig",
            lambda config: pod_defaults.inside(config, "service", lambda service: pod_defaults.filled(service, {"port": 443})),
        )

    return pod_defaults.mapped(configuration, "webhooks", webhook)


def default_mutating(configuration: meta.Obj) -> meta.Obj:
    return default_webhooks(configuration, reinvocationPolicy="Never")


def default_policy(policy: meta.Obj) -> meta.Obj:
    def spec(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        return pod_defaults.inside(pod_defaults.filled(wanted, {"failurePolicy": "Fail"}), "matchConstraints", _default_match)

    return pod_defaults.inside(policy, "spec", spec)


def default_binding(binding: meta.Obj) -> meta.Obj:
    return pod_defaults.inside(binding, "spec", lambda spec: pod_defaults.inside(spec, "matchResources", _default_match))


def _default_match(match: Mapping[str, Any]) -> Mapping[str, Any]:
    match = pod_defaults.filled(match, MATCH_DEFAULTS)
    for field in ("resourceRules", "excludeResourceRules"):
        match = pod_defaults.mapped(match, field, lambda rule: pod_defaults.filled(rule, ANY_SCOPE))
    return match


def _compiling(rules: Rules) -> Rules:
    """`rules`, and that every expression compiles."""

    def validate(policy: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
        from reconciler.kinds import admission_cel  # as long to import as all the other kinds

        yield from rules(policy, old)
        yield from admission_cel.refused(policy)

    return validate


def _webhooks_cell(configuration: meta.Obj) -> int:
    return len(configuration.get("webhooks") or ())


def _param_kind_cell(policy: meta.Obj) -> str:
    kind = meta.spec(policy).get("paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else columns.UNSET


def _param_ref_cell(binding: meta.Obj) -> str:
    reference = meta.spec(binding).get("paramRef")
    if not reference:
        return columns.UNSET
    namespace, name = reference.get("namespace", ""), reference.get("name", "")
    if name:
        return f"{namespace}/{name}" if namespace else f"*/{name}"
    return columns.selector_text(reference.get("selector"))


def _webhooks(kind: str, default: Any) -> Kind:
    return Kind(
        group=GROUP,
        kind=kind,
        plural=kind.lower() + "s",
        singular=kind.lower(),
        categories=("api-extensions",),
        metadata_on_update="whole",
        namespaced=False,
        versions=(Version(name="v1", schema=f"io.k8s.api.{GROUP.split('.')[0]}.v1.{kind}", default=default),),
        validate=admission_rules.webhooks,
        has_generation=True,
        columns=(
            columns.NAME,
            columns.column(
                "Webhooks", _webhooks_cell, "Webhooks indicates the number of webhooks registered in this configuration", type="integer"
            ),
            columns.AGE,
        ),
        order=80,
    )


def _policy(kind: str, singular: str, plural: str, counted: str, **more: Any) -> Kind:
    name = counted.capitalize()
    return Kind(
        group=GROUP,
        kind=kind,
        plural=plural,
        singular=singular,
        categories=("api-extensions",),
        metadata_on_update="whole",
        namespaced=False,
        versions=(Version(name="v1", schema=f"io.k8s.api.{GROUP.split('.')[0]}.v1.{kind}", default=default_policy),),
        has_generation=True,
        columns=(
            columns.NAME,
            columns.column(
                name,
                lambda p: len(meta.spec(p).get(counted) or ()),
                f"{name} indicates the number of {counted[:-1]} rules defined in this configuration",
                type="integer",
            ),
            columns.column("ParamKind", _param_kind_cell, "ParamKind specifies the kind of resources used to parameterize this policy"),
            columns.AGE,
        ),
        order=80,
        **more,
    )


def _policy_binding(kind: str, operations: tuple[str, ...]) -> Kind:
    return Kind(
        group=GROUP,
        kind=kind,
        plural=kind.lower() + "s",
        singular=kind.lower(),
        categories=("api-extensions",),
        metadata_on_update="whole",
        namespaced=False,
        versions=(Version(name="v1", schema=f"io.k8s.api.{GROUP.split('.')[0]}.v1.{kind}", default=default_binding),),
        validate=admission_rules.policy_binding(operations),
        has_generation=True,
        columns=(
            columns.NAME,
            columns.column("PolicyName", lambda b: meta.spec(b).get("policyName", ""), "@spec.policyName"),
            columns.column("ParamRef", _param_ref_cell, "@spec.paramRef"),
            columns.AGE,
        ),
        order=81,
    )


KINDS = (
    _webhooks("ValidatingWebhookConfiguration", default_webhooks),
    _webhooks("MutatingWebhookConfiguration", default_mutating),
    _policy(
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicy",
        "validatingadmissionpolicies",
        "validations",
        validate=_compiling(admission_rules.validating_policy),
        subresources=(status_of("ValidatingAdmissionPolicy"),),
        prepare=workload.keep_status,
        prepare_status=workload.keep_spec,
    ),
    _policy(
        "MutatingAdmissionPolicy",
        "mutatingadmissionpolicy",
        "mutatingadmissionpolicies",
        "mutations",
        validate=_compiling(admission_rules.mutating_policy),
    ),
    _policy_binding("ValidatingAdmissionPolicyBinding", admission_rules.OPERATIONS),
    _policy_binding("MutatingAdmissionPolicyBinding", admission_rules.MUTABLE_OPERATIONS),
)
