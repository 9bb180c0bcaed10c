"""MutatingAdmissionPolicy: expressions make configurations or JSON patches that are applied to the object."""

from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.api.admission import policies
from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.api.decoding import Decoder
from reconciler.model import errors, meta, patch
from reconciler.model.cel.errors import Failed
from reconciler.model.cel.values import Message


@dataclass(frozen=True, slots=True)
class MutatingAdmissionPolicy:
    decoder: Decoder
    compiler: policies.Compiler = field(default_factory=policies.Compiler)

    def admit(self, attributes: Attributes, obj: meta.Obj) -> meta.Obj:
        """`obj` with every mutation. Raises StatusError where one fails whose policy fails closed."""
        passes = attributes.passes
        for one in policies.bound(attributes, obj, self.compiler, policies.MUTATING):
            key = f"{meta.name(one.policy)}/{meta.name(one.binding)}/{meta.name(one.params or meta.EMPTY)}"
            if passes.is_second and key not in passes.due:
                continue
            passes.due.discard(key)
            try:
                if one.problem:
                    raise Failed(one.problem)
                if not policies.is_concerned(one, one.variables(attributes, obj)):
                    continue
                changed = self._mutated(attributes, one, obj)
            except (Failed, errors.StatusError) as failure:
                if one.fails_closed:
                    told = f"policy '{meta.name(one.policy)}' with binding '{meta.name(one.binding)}' denied request: {failure}"
                    raise attributes.call.forbidden(told) from None
                continue
            if changed != obj:
                passes.due |= passes.called
                passes.wanted = not passes.is_second
                obj = changed
            if meta.spec(one.policy).get("reinvocationPolicy") == "IfNeeded":
                passes.called.add(key)
        return obj

    def _mutated(self, attributes: Attributes, one: policies.Bound, obj: meta.Obj) -> meta.Obj:
        """The object with the policy's mutations, each of which sees what the one before made."""
        call = replace(attributes.call, version=one.version, field_validation="Ignore")
        if not meta.name(obj):  # a generated name is not in the object yet
            call = replace(call, name="")
        for kind, program in one.compiled.mutations:
            shown = attributes.shown(obj, one.version)
            made = plain(policies.evaluated(program, one.variables(attributes, obj)))
            if kind == "JSONPatch":
                patched: Any = patch.json_patch(shown, made)
            elif call.kind.custom or not attributes.has_own_shape:
                patched = patch.merge_patch(shown, made)
            else:
                patched = patch.strategic_patch(self.decoder.schemas.of(one.version.schema), shown, made)
            obj = one.version.to_hub(self.decoder.redecode(call, patched)) if attributes.has_own_shape else patched
        return obj


def plain(value: Any) -> Any:
    """What an expression made, as JSON."""
    if isinstance(value, Message):
        return {name: plain(item) for name, item in value.fields.items()}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def plugin(decoder: Decoder) -> Plugin:
    return Plugin(name="MutatingAdmissionPolicy", looks_at_each_with=(policies.MUTATING,), admit=MutatingAdmissionPolicy(decoder).admit)
