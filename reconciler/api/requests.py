"""What a request is about, from its method and path alone: Kubernetes' RequestInfo.

Parsing knows the shapes of paths, not the kinds; `Router` looks the kind up in the roster and refuses what does not
exist. Routes are remembered per path, for the same few thousand paths come again and again.
"""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from reconciler.model import errors
from reconciler.model.kind import Kind, Version
from reconciler.model.roster import Roster

ROUTES_KEPT = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A path under /api/v1 or /apis/GROUP/VERSION, taken apart."""

    group: str
    version: str
    namespace: str = ""
    in_namespace: bool = False  # the path says /namespaces/X/, even where X is the object itself
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""  # what follows a subresource (proxy)
    watch: bool = False  # the deprecated /watch/ prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A location whose kind exists."""

    kind: Kind
    version: Version
    namespace: str
    name: str
    subresource: str
    watch: bool
    path: str

    @property
    def scope(self) -> str:
        return "resource" if self.name else "namespace" if self.namespace else "cluster"


def locate(path: str) -> Location | None:
    """The location of a decoded path; None for everything that is no group and version's path."""
    parts = path.split("/")
    if parts and parts[-1] == "":
        parts.pop()
    if len(parts) >= 3 and parts[1] == "api":
        return _located("", parts[2], parts[3:])
    if len(parts) >= 4 and parts[1] == "apis":
        return _located(parts[2], parts[3], parts[4:])
    return None


def _located(group: str, version: str, parts: list[str]) -> Location:
    watch = bool(parts) and parts[0] == "watch"
    if watch:
        parts = parts[1:]
    namespace, inside = "", False
    if len(parts) >= 2 and parts[0] == "namespaces":
        inside = len(parts) > 2 and parts[2] not in ("status", "finalize")
        if inside:
            namespace, parts = parts[1], parts[2:]
    padded = [*parts, "", "", ""]
    return Location(
        group=group,
        version=version,
        namespace=namespace,
        in_namespace=inside,
        resource=padded[0],
        name=padded[1],
        subresource=padded[2],
        rest="/".join(parts[3:]),
        watch=watch,
    )


class Router:
    """Routes of one roster; a new roster gets a new router."""

    def __init__(self, roster: Roster) -> None:
        self.roster = roster
        self.route = lru_cache(maxsize=ROUTES_KEPT)(self._route)
        self.groups = frozenset(kind.group for kind in roster)
        self.custom_groups = self.groups - frozenset(kind.group for kind in roster if not kind.custom)  # not ours: plain 404s
        self.versions = frozenset((kind.group, version.name) for kind in roster for version in kind.versions if version.served)

    def _route(self, path: str) -> Route | None:
        """The route of a path; None for what is not under a group and version. Raises StatusError 404."""
        decoded = unquote(path) if "%" in path else path
        location = locate(decoded)
        if location is None or (location.group and location.group not in self.groups):
            return None
        if not location.resource:
            if location.name:
                raise no_such_resource()
            return None
        kind = self.roster.of_resource(location.group, location.version, location.resource)
        too_long = bool(location.rest) and location.subresource != "proxy"
        if location.group in self.custom_groups and (kind is None or too_long or _is_misplaced(kind, location)):
            return None
        if kind is None or too_long or _is_misplaced(kind, location):
            raise no_such_resource()
        if location.subresource and kind.subresource(location.subresource) is None:
            raise no_such_resource()
        for name in (location.name, location.namespace):
            if name in (".", ".."):
                raise errors.bad_request(f"Name parameter invalid: \"{name}\": may not be '{name}'")
        return Route(
            kind=kind,
            version=kind.version(location.version),
            namespace=location.namespace,
            name=location.name,
            subresource=location.subresource,
            watch=location.watch,
            path=decoded,
        )


def _is_misplaced(kind: Kind, location: Location) -> bool:
    """Whether a path has a namespace where the kind has none, or the other way round."""
    if location.in_namespace:
        return not kind.namespaced
    return kind.namespaced and bool(location.name)


def no_such_resource() -> errors.StatusError:
    return errors.StatusError(404, "NotFound", "the server could not find the requested resource", details={})


def no_such_method() -> errors.StatusError:
    return errors.StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", details={})
