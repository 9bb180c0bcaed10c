"""MutatingAdmissionPolicy: expressions make configurations or JSON patches that are applied to the object."""

from dataclasses import dataclass, field
from typing import Any

from reconciler.api.admission import policies
from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.model import errors, meta, patch
from reconciler.model.cel.errors import Failed
from reconciler.model.cel.values import Message
from reconciler.model.schema import Schemas


@dataclass(frozen=True, slots=True)
class MutatingAdmissionPolicy:
    schemas: Schemas
    compiler: policies.Compiler = field(default_factory=policies.Compiler)

    def admit(self, attributes: Attributes, obj: meta.Obj) -> meta.Obj:
        """`obj` with every mutation. Raises StatusError where one fails whose policy fails closed."""
        for policy, binding, one in policies.bound(attributes, obj, self.compiler, policies.MUTATING):
            try:
                if isinstance(one, policies.Misconfigured):
                    raise Failed(str(one))
                if policies.is_concerned(one):
                    obj = self._mutated(attributes, one, obj)
            except (Failed, errors.StatusError) as failure:
                if meta.spec(policy).get("failurePolicy", "Fail") == "Fail":
                    detail = f"policy '{meta.name(policy)}' with binding '{meta.name(binding)}' denied request: {failure}"
                    raise attributes.call.forbidden(detail) from None
        return obj

    def _mutated(self, attributes: Attributes, one: policies.Bound, obj: meta.Obj) -> meta.Obj:
        for kind, program in one.compiled.mutations:
            made = plain(policies.evaluated(program, {**one.variables, "object": obj}))
            if kind == "JSONPatch":
                obj = patch.json_patch(obj, made)
            elif attributes.call.kind.custom:
                obj = patch.merge_patch(obj, made)
            else:
                obj = patch.strategic_patch(self.schemas.of(attributes.call.kind.hub_version.schema), obj, made)
        return obj


def plain(value: Any) -> Any:
    """What an expression made, as JSON."""
    if isinstance(value, Message):
        return {name: plain(item) for name, item in value.fields.items()}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def plugin(schemas: Schemas) -> Plugin:
    return Plugin(name="MutatingAdmissionPolicy", looks_at_each_with=(policies.MUTATING,), admit=MutatingAdmissionPolicy(schemas).admit)
