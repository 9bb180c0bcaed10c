"""Reads metrics out of Prometheus, for autoscalers whose metrics are not a resource of their pods.

The configuration names the metrics and gives the query of each. In a query `$labels` stands for the label matchers of
what is asked for: the namespace, and the object or the metric's own selector. One value comes back per series; series
with a label `pod` are of that pod.
"""

import json
import math

import aiohttp

from reconciler.controllers import measures
from reconciler.daemon.config import Prometheus
from reconciler.model import selectors

TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES = 8 * 1024 * 1024
OPERATORS = {"In": "=~", "NotIn": "!~", "Exists": "!=", "DoesNotExist": "="}


class Reader:
    """Answers queries that are not about resources. Opened on first use."""

    def __init__(self, settings: Prometheus) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def answer(self, query: measures.Query) -> measures.Answer:
        """Never raises: what went wrong is the answer's error."""
        api = "external" if query.source == "external" else "custom"
        text = (self._settings.external if api == "external" else self._settings.custom).get(query.metric)
        if text is None:
            return measures.Answer(error=f"unable to fetch metrics from {api} metrics API: prometheus.{api} has no query {query.metric}")
        try:
            samples = _samples(await self._ask(text.replace("$labels", matchers(query))))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return measures.Answer(error=f"unable to fetch metrics from {api} metrics API: {error or type(error).__name__}")
        return measures.Answer(samples) if samples else measures.Answer(error=f"no metrics returned from {api} metrics API")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _ask(self, text: str) -> object:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))
        address = f"{self._settings.url.rstrip('/')}/api/v1/query"
        async with self._session.post(address, data={"query": text}) as answer:
            body = await answer.content.read(MAX_ANSWER_BYTES)
            found = json.loads(body)
        if not isinstance(found, dict) or found.get("status") != "success":
            raise ValueError(
                found.get("error") or "no Prometheus answers there" if isinstance(found, dict) else "no Prometheus answers there"
            )
        return found.get("data")


def matchers(query: measures.Query) -> str:
    """The label matchers of a query, in PromQL."""
    found = [] if query.source == "external" else [f"namespace={_quoted(query.namespace)}"]
    _, kind, name = query.described
    if kind:
        found.append(f"{kind.lower()}={_quoted(name)}")
    for one in selectors.parse(query.metric_selector).requirements:
        values = "|".join(map(_escaped, one.values))
        found.append(f"{one.key}{OPERATORS[one.operator]}{_quoted(values)}")
    return ",".join(found)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _escaped(text: str) -> str:
    """Literal in Prometheus' regular expressions; a label's value needs no more."""
    return text.replace(".", r"\.")


def _samples(data: object) -> dict[str, measures.Sample]:
    """By pod where series have one, else by place. Raises ValueError for what is no answer to a query."""
    try:
        assert isinstance(data, dict)
        kind, result = data["resultType"], data["result"]
        series = [({}, result)] if kind == "scalar" else [(one["metric"], one["value"]) for one in result]
        values = [(str(labels.get("pod") or f"#{place}"), float(at), float(text)) for place, (labels, (at, text)) in enumerate(series)]
    except (AssertionError, KeyError, TypeError) as error:
        raise ValueError("the query gives no instant vector") from error
    return {name: measures.Sample(math.ceil(value * 1000), at) for name, at, value in values if math.isfinite(value)}
