"""pods/log: which container, which part of its log; the node's backend has the bytes. exec and attach choose alike."""

from reconciler.api import options
from reconciler.api.backend import LogOptions
from reconciler.model import decode, errors, meta

CONTAINER_FIELDS = ("initContainers", "containers", "ephemeralContainers")
STREAMS = ("All", "Stdout", "Stderr")


def container_of(pod: meta.Obj, wanted: str) -> str:
    """The container that is meant. Raises StatusError 400 in kube-apiserver's words."""
    spec, name = meta.spec(pod), meta.name(pod)
    everything = [str(one["name"]) for field in CONTAINER_FIELDS for one in spec.get(field) or ()]
    if wanted:
        if wanted not in everything:
            raise errors.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    containers = [str(one["name"]) for one in spec.get("containers") or ()]
    if len(containers) == 1:
        return containers[0]
    raise errors.bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(everything)}]")


def options_of(query: options.Query, now: float) -> LogOptions:
    """PodLogOptions of a query. Raises StatusError 400 or 422."""
    refused = []
    tail, limit, since_seconds = (query.integer(name) for name in ("tailLines", "limitBytes", "sinceSeconds"))
    since_time = query.one("sinceTime")
    if tail is not None and tail < 0:
        refused.append(errors.invalid("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        refused.append(errors.invalid("limitBytes", limit, "must be greater than 0"))
    if since_seconds is not None and since_time:
        refused.append(errors.forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif since_seconds is not None and since_seconds < 1:
        refused.append(errors.invalid("sinceSeconds", since_seconds, "must be greater than 0"))
    stream = query.one("stream") or STREAMS[0]
    if stream not in STREAMS:
        refused.append(errors.not_supported("stream", stream, STREAMS))
    if refused:
        raise errors.invalid_object("PodLogOptions", "", "", refused)
    since = now - since_seconds if since_seconds is not None else _time(since_time)
    return LogOptions(
        follow=query.flag("follow"),
        previous=query.flag("previous"),
        timestamps=query.flag("timestamps"),
        tail_lines=tail,
        limit_bytes=limit,
        since=since,
        stream=stream,
    )


def _time(text: str) -> float | None:
    if not text:
        return None
    try:
        return decode.parsed_time(text).timestamp()
    except decode.DecodeError as error:
        raise errors.bad_request(str(error)) from None
