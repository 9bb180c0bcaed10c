"""Keeps the roles and bindings that every cluster has: missing ones are made, missing rules and subjects added.

What an administrator added stays; an object whose autoupdate annotation says "false" is left alone.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from reconciler.api.auth import bootstrap_policy
from reconciler.api.cache import Cache
from reconciler.client import protocol
from reconciler.kinds import rbac, rbac_rules
from reconciler.model import errors, meta, plan

WHY = "every cluster has it"


async def reconcile(client: protocol.Client, cache: Cache, origin: protocol.Origin) -> None:
    """All at once, so that the journal commits them together."""
    actions = []
    for body in bootstrap_policy.objects():
        kind = f"{str(body['kind']).lower()}s.{rbac.GROUP}"
        stored = cache.get(kind, meta.namespace(body), meta.name(body))
        if stored is None:
            actions.append(client.perform(plan.Create(kind=kind, body=body, why=WHY), origin))
        elif (change := _missing(body, stored.obj)) and meta.annotations(stored.obj).get(bootstrap_policy.AUTOUPDATE) != "false":
            namespace, name = meta.key(body)
            patch = plan.Patch(kind=kind, namespace=namespace, name=name, type="merge", patch=change, why="a default was missing")
            actions.append(client.perform(patch, origin))
    for done in await asyncio.gather(*actions, return_exceptions=True):
        if isinstance(done, errors.StatusError) and done.reason in ("AlreadyExists", "Conflict"):
            continue  # another server of this cluster was first
        if isinstance(done, BaseException):
            raise done


def _missing(wanted: meta.Obj, stored: meta.Obj) -> Mapping[str, Any]:
    """A merge patch with what `stored` lacks."""
    if wanted.get("aggregationRule") is not None:
        return {}
    if "rules" in wanted:
        lacking = rbac_rules.missing(rbac.rules(stored), rbac.rules(wanted))
        return {"rules": [*rbac.rules(stored), *lacking]} if lacking else {}
    subjects = [one for one in rbac.subjects(wanted) if one not in rbac.subjects(stored)]
    return {"subjects": [*rbac.subjects(stored), *subjects]} if subjects else {}
