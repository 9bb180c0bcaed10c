"""Nothing new of a kind whose definition is being deleted: Kubernetes' custom resource handler refuses it here."""

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.api.deletion import DEFINITIONS
from reconciler.model import meta


def validate(attributes: Attributes, _: meta.Obj) -> None:
    call = attributes.call
    if attributes.operation != "CREATE" or not call.kind.custom:
        return
    definition = attributes.cache.get(DEFINITIONS, "", call.kind.id)
    if definition is not None and meta.is_deleting(definition.obj):
        raise call.forbidden("create not allowed while custom resource definition is terminating")


PLUGIN = Plugin(name="CustomResourceDefinitionTerminating", validate=validate)
