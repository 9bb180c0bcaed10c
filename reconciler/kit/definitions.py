"""The Kubernetes definitions that the build hook condensed, with the shapes of their Go structs and the values of their enums.

Read from disk on first use, about 15 ms; callers that need no schema never pay for it. What the definitions mean is
model/schema.py's business.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import orjson

FOLDER = Path(__file__).parents[1] / "kinds" / "schema"


@cache
def load() -> Mapping[str, Mapping[str, Any]]:
    """Definition name, such as "io.k8s.api.core.v1.Pod", to OpenAPI v3 schema. Never changed by anyone."""
    path = FOLDER / "definitions.json"
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: run `python reconciler/kinds/schema/build.py` (pip does it on install)") from None
    loaded: dict[str, Mapping[str, Any]] = orjson.loads(text)
    return loaded


@cache
def shapes() -> Mapping[str, Mapping[str, str]]:
    """Definition name to field to "GO_NAME:NUMBER PRESENCE GO_TYPE [EMBEDDED:NUMBER]", as kinds/schema/shapes.py says."""
    loaded: dict[str, dict[str, str]] = orjson.loads((FOLDER / "shapes.json").read_bytes())
    return loaded


@cache
def enums() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Definition name to field to the values that it knows, sorted, as kinds/schema/enums.py says."""
    loaded: dict[str, dict[str, list[str]]] = orjson.loads((FOLDER / "enums.json").read_bytes())
    return loaded
