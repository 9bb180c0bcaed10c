"""The Kubernetes definitions that the build hook condensed: the only place that reads them from disk.

Loaded on first use, about 15 ms; callers that need no schema never pay for it. What the definitions mean is
model/schema.py's business.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson

PATH = Path(__file__).parents[1] / "kinds" / "schema" / "definitions.json"


@cache
def load() -> Mapping[str, Mapping[str, Any]]:
    """Definition name, such as "io.k8s.api.core.v1.Pod", to OpenAPI v3 schema. Never changed by anyone."""
    try:
        text = PATH.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{PATH} is missing: run `python reconciler/kinds/schema/build.py` (pip does it on install)") from None
    loaded: dict[str, Mapping[str, Any]] = orjson.loads(text)
    return loaded
