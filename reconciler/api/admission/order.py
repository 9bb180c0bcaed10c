"""The one list of admission plugins, in kube-apiserver's order (its recommended plugins, as far as they exist here)."""

from reconciler.api.admission import (
    certificates,
    default_classes,
    default_toleration_seconds,
    definition_terminating,
    limit_ranger,
    mutating_policy,
    namespace_lifecycle,
    node_restriction,
    pod_security,
    priority,
    resource_quota,
    role_escalation,
    runtime_class,
    service_account,
    storage_object_in_use_protection,
    taint_nodes_by_condition,
    validating_policy,
    volume_claim_resize,
    webhooks,
)
from reconciler.api.admission.chain import Chain
from reconciler.api.auth import rbac
from reconciler.api.decoding import Decoder


def chain(*, mount_tokens: bool, decoder: Decoder, asked: webhooks.Webhooks, authoriser: rbac.Rbac) -> Chain:
    mutating_webhook, validating_webhook = webhooks.plugins(asked)
    return Chain(
        (
            namespace_lifecycle.PLUGIN,
            limit_ranger.PLUGIN,
            service_account.plugin(mount_tokens=mount_tokens),
            node_restriction.PLUGIN,
            taint_nodes_by_condition.PLUGIN,
            pod_security.PLUGIN,
            priority.PODS,
            priority.PRIORITY_CLASSES,
            default_toleration_seconds.PLUGIN,
            default_classes.STORAGE,
            storage_object_in_use_protection.PLUGIN,
            volume_claim_resize.PLUGIN,
            runtime_class.PLUGIN,
            *certificates.plugins(authoriser.decide),
            default_classes.INGRESS,
            role_escalation.plugin(authoriser),
            definition_terminating.PLUGIN,
            mutating_policy.plugin(decoder),
            mutating_webhook,
            validating_policy.PLUGIN,
            validating_webhook,
            resource_quota.PLUGIN,
        )
    )
