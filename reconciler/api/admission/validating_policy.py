"""ValidatingAdmissionPolicy: expressions decide what is refused, warned of or noted."""

from collections.abc import Mapping
from typing import Any

from reconciler.api.admission import policies
from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.model import errors, meta
from reconciler.model.cel.errors import Failed
from reconciler.model.cel.program import Program

CODES: Mapping[str, int] = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}
MESSAGE_MOST = 5120


class ValidatingAdmissionPolicy:
    def __init__(self) -> None:
        self._compiler = policies.Compiler()

    def validate(self, attributes: Attributes, obj: meta.Obj) -> None:
        """Raises StatusError with the first refusal."""
        for one in policies.bound(attributes, obj, self._compiler, policies.VALIDATING):
            if one.problem:
                if one.fails_closed:
                    self._act(attributes, one, one.problem, "Invalid")
                continue
            for message, reason in self._failures(one, one.variables(attributes, obj)):
                self._act(attributes, one, message, reason)

    def _failures(self, one: policies.Bound, variables: dict[str, Any]) -> list[tuple[str, str]]:
        """(message, reason) of every validation that does not hold."""
        found = []
        try:
            if not policies.is_concerned(one, variables):
                return []
        except Failed as failure:
            return [(str(failure), "Invalid")] if one.fails_closed else []
        for raw, rule, message in one.compiled.validations:
            try:
                if policies.evaluated(rule, variables) is True:
                    continue
            except Failed as failure:
                if one.fails_closed:
                    found.append((str(failure), "Invalid"))
                continue
            found.append((_message(raw, rule, message, variables), str(raw.get("reason") or "Invalid")))
        return found

    def _act(self, attributes: Attributes, one: policies.Bound, message: str, reason: str) -> None:
        """Do what the binding says about a failure."""
        actions = meta.spec(one.binding).get("validationActions") or ()
        named = f"ValidatingAdmissionPolicy '{meta.name(one.policy)}' with binding '{meta.name(one.binding)}'"
        if "Warn" in actions:
            attributes.call.warn(f"Validation failed for {named}: {message}")
        if "Deny" in actions:
            raise _refusal(attributes, f"{named} denied request: {message}", reason)


def _message(raw: Mapping[str, Any], rule: Program, message: Program | None, variables: dict[str, Any]) -> str:
    fallback = str(raw.get("message") or "").strip() or f"failed expression: {rule.text.strip()}"
    if message is None:
        return fallback
    try:
        made = str(message.evaluate(variables)).strip()
    except Failed:
        return fallback
    return made if made and "\n" not in made and len(made) <= MESSAGE_MOST else fallback


def _refusal(attributes: Attributes, message: str, reason: str) -> errors.StatusError:
    forbidden = attributes.call.forbidden(message, causes=[{"message": message}])
    return errors.StatusError(CODES.get(reason, 422), reason, forbidden.message, details=forbidden.details)


PLUGIN = Plugin(name="ValidatingAdmissionPolicy", looks_at_each_with=(policies.VALIDATING,), validate=ValidatingAdmissionPolicy().validate)
