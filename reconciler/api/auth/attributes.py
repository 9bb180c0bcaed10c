"""What an authoriser is asked about a request: Kubernetes' RequestInfo, from method, path and query alone.

It knows no kinds: who may not ask about a resource is not told whether there is one.
"""

from urllib.parse import unquote

from reconciler.api import options, requests
from reconciler.api.auth.authorisation import Asked

VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
NAME_FIELD = "metadata.name="


def asked_of(method: str, path: str, query: options.Query) -> Asked:
    """`path` is as the client sent it."""
    decoded = unquote(path)
    location = requests.locate(decoded)
    if location is None or not location.resource:
        return Asked(verb=method.lower(), path=decoded)
    verb, name = VERBS.get(method, ""), location.name
    if location.watch:
        verb = "watch"
    elif not name and verb == "get":
        verb = "watch" if query.flag("watch") else "list"
    elif not name and verb == "delete":
        verb = "deletecollection"
    if not name and verb in ("list", "watch", "deletecollection"):
        name = _named(query.one("fieldSelector"))
    return Asked(
        verb=verb,
        path=decoded,
        group=location.group,
        resource=location.resource,
        subresource=location.subresource,
        namespace=location.name if location.resource == "namespaces" and not location.group else location.namespace,
        name=name,
    )


def _named(selector: str) -> str:
    """The one name that a field selector leaves."""
    for part in selector.split(","):
        if part.startswith(NAME_FIELD):
            return part.removeprefix(NAME_FIELD).removeprefix("=")
    return ""
