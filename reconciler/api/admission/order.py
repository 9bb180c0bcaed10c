"""The one list of admission plugins, in kube-apiserver's order (its recommended plugins, as far as they exist here)."""

from reconciler.api.admission import (
    default_toleration_seconds,
    definition_terminating,
    namespace_lifecycle,
    priority,
    service_account,
    storage_object_in_use_protection,
)
from reconciler.api.admission.chain import Chain


def chain(*, mount_tokens: bool) -> Chain:
    return Chain(
        (
            namespace_lifecycle.PLUGIN,
            service_account.plugin(mount_tokens=mount_tokens),
            priority.PODS,
            priority.PRIORITY_CLASSES,
            default_toleration_seconds.PLUGIN,
            storage_object_in_use_protection.PLUGIN,
            definition_terminating.PLUGIN,
        )
    )
