"""ResourceQuota: what all objects of a namespace ask for together stays within its quotas.

Usage is counted from the objects themselves, not from a quota's status, which a controller writes later, and from the
writes that are underway: of two that are decided on at one moment only one gets what only one can have. Only growth is
refused, so whoever is over a quota that was lowered may still change and shrink.
"""

from collections.abc import Iterator, Mapping

from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.kinds import quota_usage
from reconciler.model import meta, quantity

QUOTAS = "resourcequotas"
MUST_SPECIFY = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
# What may grow after it was made: Kind.id -> the subresources through which it does.
GROWING = {quota_usage.SERVICES: ("",), quota_usage.CLAIMS: ("",), quota_usage.PODS: ("resize",)}


def validate(attributes: Attributes, obj: meta.Obj) -> None:
    """Raises StatusError 403 for what would exceed a quota."""
    call = attributes.call
    if not call.namespace or not _may_grow(attributes):
        return
    shelf = attributes.cache.shelf(QUOTAS)
    if not shelf.items:
        return
    for _, item in shelf.in_order(call.namespace):
        if quota_usage.in_scope(item.obj, call.kind.id, obj):
            _check(attributes, item.obj, obj)


def _may_grow(attributes: Attributes) -> bool:
    call = attributes.call
    if attributes.operation == "CREATE":
        return not call.subresource
    return attributes.operation == "UPDATE" and call.subresource in GROWING.get(call.kind.id, ())


def _check(attributes: Attributes, quota: meta.Obj, obj: meta.Obj) -> None:
    call = attributes.call
    hard: Mapping[str, str] = meta.spec(quota).get("hard") or {}
    if attributes.old is None and call.kind.id == quota_usage.PODS and (missing := _unspecified(hard, meta.spec(obj))):
        raise call.forbidden(f"failed quota: {meta.name(quota)}: must specify {missing}")
    asked = _asked(attributes, quota, obj, hard)
    if not asked:
        return
    used = _used(attributes, quota, asked)
    over = [name for name in sorted(asked) if quantity.compare(quantity.add(used[name], asked[name]), hard[name]) > 0]
    if over:
        texts = (",".join(f"{name}={amounts[name]}" for name in over) for amounts in (asked, used, hard))
        requested, now, limited = texts
        raise call.forbidden(f"exceeded quota: {meta.name(quota)}, requested: {requested}, used: {now}, limited: {limited}")


def _asked(attributes: Attributes, quota: meta.Obj, obj: meta.Obj, hard: Mapping[str, str]) -> dict[str, str]:
    """What `obj` takes of the quota beyond what it took before."""
    kind_id, old = attributes.call.kind.id, attributes.old
    wanted = {name: amount for name, amount in quota_usage.usage(kind_id, obj).items() if name in hard}
    if old is not None and quota_usage.in_scope(quota, kind_id, old):
        before = quota_usage.usage(kind_id, old)
        wanted = {name: quantity.subtract(amount, before.get(name, "0")) for name, amount in wanted.items()}
        return {name: amount for name, amount in wanted.items() if quantity.compare(amount, "0") > 0}
    return wanted


def _used(attributes: Attributes, quota: meta.Obj, asked: Mapping[str, str]) -> dict[str, str]:
    kind_id, now = attributes.call.kind.id, attributes.time.now()
    used = dict.fromkeys(asked, "0")
    for obj in _there(attributes):
        if quota_usage.is_counted(kind_id, obj, now) and quota_usage.in_scope(quota, kind_id, obj):
            for name, amount in quota_usage.usage(kind_id, obj).items():
                if name in used:
                    used[name] = quantity.add(used[name], amount)
    return used


def _there(attributes: Attributes) -> Iterator[meta.Obj]:
    """Every object of the kind in the namespace as it is, or as the write that is underway will leave it."""
    call, shelf = attributes.call, attributes.cache.shelf(attributes.call.kind.storage_id)
    underway = attributes.underway.of(call.kind.storage_id, call.namespace)
    for key, item in shelf.in_order(call.namespace):
        pending = underway.get(key)
        yield pending.obj if pending is not None and pending.before is item else item.obj
    yield from (pending.obj for key, pending in underway.items() if pending.before is None and key not in shelf.items)


def _unspecified(hard: Mapping[str, str], spec: meta.Obj) -> str:
    """What a quota on compute resources asks every container to say, and some do not."""
    missing = []
    for name in sorted(set(hard) & set(MUST_SPECIFY)):
        part, _, resource = name.rpartition(".")
        without = sorted(
            container["name"]
            for group in ("containers", "initContainers")
            for container in spec.get(group) or ()
            if resource not in ((container.get("resources") or {}).get(part or "requests") or {})
        )
        if without:
            missing.append(f"{name} for: {','.join(without)}")
    return "; ".join(missing)


PLUGIN = Plugin(name="ResourceQuota", looks_at_each_with=(QUOTAS,), validate=validate)
