"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook: people's own servers are asked about writes.

Mutating webhooks are asked one after the other in the order of their configurations' names, again where a later
change makes that due (reinvocationPolicy); validating ones all at once. A write that no rule is about never waits.
"""

import asyncio
import base64
import logging
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.api import outbound
from reconciler.api.admission import matching, policies, review
from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.api.decoding import Decoder
from reconciler.kit import ids
from reconciler.model import errors, meta, patch
from reconciler.model.cel.errors import Failed
from reconciler.model.kind import Version

log = logging.getLogger(__name__)

GROUP = "admissionregistration.k8s.io"
MUTATING, VALIDATING = f"mutatingwebhookconfigurations.{GROUP}", f"validatingwebhookconfigurations.{GROUP}"
WITHOUT_EFFECTS = frozenset({"None", "NoneOnDryRun"})


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook of a configuration, with the version of the object that its rules are about."""

    configuration: meta.Obj
    webhook: Mapping[str, Any]
    version: Version

    @property
    def name(self) -> str:
        return str(self.webhook["name"])

    @property
    def uid(self) -> str:
        return f"{meta.name(self.configuration)}/{self.name}"

    @property
    def fails_closed(self) -> bool:
        return bool(self.webhook.get("failurePolicy", "Fail") == "Fail")


class Webhooks:
    """Both kinds of webhooks, over one client."""

    def __init__(self, client: outbound.Outbound, decoder: Decoder, source: ids.Source) -> None:
        self._client = client
        self._ids = source
        self._decoder = decoder
        self._conditions = policies.Compiler()

    def admit(self, attributes: Attributes, obj: meta.Obj) -> meta.Obj | Coroutine[Any, Any, meta.Obj]:
        if not attributes.cache.shelf(MUTATING).items or matching.is_exempt(attributes):
            return obj
        hooks = list(_hooks(attributes, obj, MUTATING))
        return self._mutated(attributes, obj, hooks) if hooks else obj

    def validate(self, attributes: Attributes, obj: meta.Obj) -> Coroutine[Any, Any, None] | None:
        if not attributes.cache.shelf(VALIDATING).items or matching.is_exempt(attributes):
            return None
        hooks = list(_hooks(attributes, obj, VALIDATING))
        return self._judged(attributes, obj, hooks) if hooks else None

    async def _mutated(self, attributes: Attributes, obj: meta.Obj, hooks: list[Hook]) -> meta.Obj:
        passes = attributes.passes
        if passes.is_second and obj != passes.left:  # the other plugins changed something
            passes.due |= passes.called
        for hook in hooks:
            if passes.is_second and hook.uid not in passes.due:
                continue
            passes.due.discard(hook.uid)
            if not matching.selects(attributes, obj, hook.webhook) or not self._is_concerned(attributes, obj, hook):
                continue
            changed = await self._changed(attributes, obj, hook)
            if changed is not obj:
                passes.due |= passes.called
                passes.wanted = not passes.is_second
                obj = changed
            if hook.webhook.get("reinvocationPolicy") == "IfNeeded":
                passes.called.add(hook.uid)
        passes.left = obj
        return obj

    async def _changed(self, attributes: Attributes, obj: meta.Obj, hook: Hook) -> meta.Obj:
        """`obj` as one webhook wants it; the same where it changes nothing."""
        answer = await self._asked(attributes, obj, hook, mutating=True)
        if answer is None or not answer.patch:
            return obj
        call = attributes.call
        if not call.subresource and call.name and not meta.name(obj):  # a generated name is not in the object yet
            call = replace(call, name="")
        shown = attributes.shown(obj, hook.version)
        try:
            patched = patch.json_patch(shown, answer.patch)
            if not attributes.has_own_shape:
                return patched  # type: ignore[no-any-return]
            made = self._decoder.redecode(replace(call, version=hook.version, field_validation="Ignore"), patched)
        except errors.StatusError as error:
            raise review.internal(error.message) from None
        if made == shown:
            return obj
        return hook.version.to_hub(made)

    async def _judged(self, attributes: Attributes, obj: meta.Obj, hooks: list[Hook]) -> None:
        """Raises the first refusal in the order of the configurations."""
        concerned = [hook for hook in hooks if self._is_concerned(attributes, obj, hook)]
        asked = (self._asked(attributes, obj, hook, mutating=False) for hook in concerned)
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    def _is_concerned(self, attributes: Attributes, obj: meta.Obj, hook: Hook) -> bool:
        """Whether the match conditions hold. Raises StatusError 403 where that cannot be told."""
        if not hook.webhook.get("matchConditions"):
            return True
        key = {"metadata": {"uid": f"{meta.uid(hook.configuration)}/{hook.name}", "generation": meta.generation(hook.configuration)}}
        spec = {"spec": {"matchConditions": hook.webhook["matchConditions"]}}
        try:
            return policies.are_met(attributes, obj, hook.version, self._conditions.of({**key, **spec}))
        except Failed as failure:
            if hook.fails_closed:
                raise attributes.call.forbidden(str(failure)) from None
            return False

    async def _asked(self, attributes: Attributes, obj: meta.Obj, hook: Hook, *, mutating: bool) -> review.Answer | None:
        """A webhook's answer that allows the write; None where it failed and may. Raises StatusError."""
        webhook = hook.webhook
        if attributes.call.dry_run and webhook.get("sideEffects") not in WITHOUT_EFFECTS:
            raise errors.bad_request(f'admission webhook "{hook.name}" does not support dry run')
        try:
            answer = await self._call(attributes, obj, hook, mutating=mutating)
        except _Unasked as failed:
            if hook.fails_closed:
                raise review.failure(hook.name, str(failed)) from None
            log.warning("a webhook failed and is ignored", extra={"facts": {"webhook": hook.name, "error": str(failed)[:500]}})
            return None
        for text in answer.warnings:
            attributes.call.warn(text)
        if not answer.allowed:
            raise review.rejection(hook.name, answer.status)
        return answer

    async def _call(self, attributes: Attributes, obj: meta.Obj, hook: Hook, *, mutating: bool) -> review.Answer:
        """Raises _Unasked."""
        version = review.version_of(list(hook.webhook.get("admissionReviewVersions") or ()))
        if version is None:
            raise _Unasked("webhook does not accept known v1, v1beta1 AdmissionReview version")
        config, uid = hook.webhook.get("clientConfig") or {}, self._ids.uid()
        place = outbound.Place.of(config, base64.b64decode(config.get("caBundle") or b""))
        asked = {"uid": uid, **review.request(attributes, obj, hook.version)}
        body = {"kind": "AdmissionReview", "apiVersion": f"{review.GROUP}/{version}", "request": asked}
        try:
            answered = await self._client.post(place, body, float(hook.webhook.get("timeoutSeconds") or 10))
        except outbound.Failed as failed:
            raise _Unasked(f"failed to call webhook: {failed}") from None
        try:
            return review.read(answered, version, uid, mutating=mutating)
        except review.Unreadable as unreadable:
            raise _Unasked(f"received invalid webhook response: {unreadable}") from None


class _Unasked(Exception):
    """A webhook that gave no usable answer."""


def _hooks(attributes: Attributes, obj: meta.Obj, kind: str) -> Iterator[Hook]:
    """The webhooks whose rules and selectors are about a write, in order."""
    for _, item in attributes.cache.shelf(kind).in_order():
        for webhook in item.obj.get("webhooks") or ():
            version = matching.version_matched(attributes, webhook, webhook.get("rules") or ())
            if version is not None and matching.selects(attributes, obj, webhook):
                yield Hook(item.obj, webhook, version)


def plugins(webhooks: Webhooks) -> tuple[Plugin, Plugin]:
    """(mutating, validating)."""
    return (
        Plugin(name="MutatingAdmissionWebhook", looks_at_each_with=(MUTATING,), admits_deletion=True, admit=webhooks.admit),
        Plugin(name="ValidatingAdmissionWebhook", looks_at_each_with=(VALIDATING,), validate=webhooks.validate),
    )
