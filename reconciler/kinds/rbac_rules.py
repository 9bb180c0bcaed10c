"""What RBAC rules allow: matching a request, and whether what somebody holds covers what they want to give.

Pure, after k8s.io/kubernetes/pkg/registry/rbac/validation and its component helpers. `Rule` is one PolicyRule made
ready for many questions; everything else here works on PolicyRules in wire form.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PolicyRule = Mapping[str, Any]
EVERYTHING: Sequence[PolicyRule] = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)


@dataclass(frozen=True, slots=True)
class Rule:
    """`source` is what grants it, for the answer to an access review."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: tuple[str, ...]
    source: str
    raw: PolicyRule

    @classmethod
    def of(cls, raw: PolicyRule, source: str) -> "Rule":
        def words(field: str) -> frozenset[str]:
            return frozenset(raw.get(field) or ())

        urls = tuple(raw.get("nonResourceURLs") or ())
        return cls(words("verbs"), words("apiGroups"), words("resources"), words("resourceNames"), urls, source, raw)

    def allows(self, verb: str, group: str, resource: str, subresource: str, name: str) -> bool:
        """Whether it is about this request on a resource."""
        if not ("*" in self.verbs or verb in self.verbs) or not ("*" in self.groups or group in self.groups):
            return False
        if self.names and name not in self.names:
            return False
        if not subresource:
            return "*" in self.resources or resource in self.resources
        return "*" in self.resources or f"{resource}/{subresource}" in self.resources or f"*/{subresource}" in self.resources

    def allows_path(self, verb: str, path: str) -> bool:
        """Whether it is about this request on a path that is no resource."""
        return bool(self.urls) and ("*" in self.verbs or verb in self.verbs) and any(_matches_url(url, path) for url in self.urls)


def _matches_url(url: str, path: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url.rstrip("*")))


def missing(held: Sequence[PolicyRule], wanted: Sequence[PolicyRule]) -> list[PolicyRule]:
    """What of `wanted` the rules `held` do not cover, in the smallest parts."""
    return [part for rule in wanted for part in _parts(rule) if not any(_covers(owned, part) for owned in held)]


def described(rules: Sequence[PolicyRule]) -> str:
    """Rules as an escalation is told of them: one a line, verbs of the same resource together."""
    return "\n".join(sorted({_compact(rule) for rule in _joined(rules)}))


def quoted(words: Iterable[str]) -> str:
    """As Go writes a list of strings with %q."""
    return "[" + " ".join(json.dumps(word, ensure_ascii=False) for word in words) + "]"


def _parts(rule: PolicyRule) -> Iterator[PolicyRule]:
    """One verb on one resource (and name), or on one path, each."""
    verbs, names = rule.get("verbs") or (), rule.get("resourceNames") or ()
    for group in rule.get("apiGroups") or ():
        for resource in rule.get("resources") or ():
            for verb in verbs:
                part = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                if names:
                    yield from ({**part, "resourceNames": [name]} for name in names)
                else:
                    yield part
    for url in rule.get("nonResourceURLs") or ():
        yield from ({"nonResourceURLs": [url], "verbs": [verb]} for verb in verbs)


def _covers(owned: PolicyRule, part: PolicyRule) -> bool:
    names = owned.get("resourceNames") or ()
    if names and not (part.get("resourceNames") and part["resourceNames"][0] in names):
        return False
    return (
        _has(owned.get("verbs"), part["verbs"][0])
        and all(_has(owned.get("apiGroups"), group) for group in part.get("apiGroups") or ())
        and all(_has_resource(owned.get("resources") or (), resource) for resource in part.get("resources") or ())
        and all(_has_url(owned.get("nonResourceURLs") or (), url) for url in part.get("nonResourceURLs") or ())
    )


def _has(owned: Sequence[str] | None, wanted: str) -> bool:
    return owned is not None and ("*" in owned or wanted in owned)


def _has_resource(owned: Sequence[str], wanted: str) -> bool:
    _, slash, subresource = wanted.partition("/")
    return "*" in owned or wanted in owned or (bool(slash) and f"*/{subresource}" in owned)


def _has_url(owned: Sequence[str], wanted: str) -> bool:
    return wanted in owned or any(url.endswith("*") and wanted.startswith(url.rstrip("*")) for url in owned)


def _joined(rules: Sequence[PolicyRule]) -> list[PolicyRule]:
    """Rules about one and the same resource become one."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    others = list[PolicyRule]()
    for rule in rules:
        if rule.get("nonResourceURLs"):
            others.append(rule)
            continue
        key = (*rule["apiGroups"], *rule["resources"], *(rule.get("resourceNames") or ()))
        if key in found:
            found[key]["verbs"] = [*found[key]["verbs"], *(verb for verb in rule["verbs"] if verb not in found[key]["verbs"])]
        else:
            found[key] = dict(rule)
    return [*others, *found.values()]


def _compact(rule: PolicyRule) -> str:
    fields = ("apiGroups", "resources", "nonResourceURLs", "resourceNames", "verbs")
    shown = {"apiGroups": "APIGroups", "nonResourceURLs": "NonResourceURLs", "resourceNames": "ResourceNames"}
    parts = [f"{shown.get(field, field.capitalize())}:{quoted(rule[field])}" for field in fields if rule.get(field)]
    return "{" + ", ".join(parts) + "}"
