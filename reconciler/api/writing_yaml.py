"""YAML answers, written as sigs.k8s.io/yaml writes them: sorted keys, block style, strings quoted only where YAML would
read something else, text of several lines as a literal block, long text folded at 80 columns."""

import io
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.representer import SafeRepresenter

from reconciler.kit import yaml

WIDTH = 80
_TIMESTAMP = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([Tt \t].*)?")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")


class _Representer(SafeRepresenter):
    pass


def _represent_text(representer: SafeRepresenter, text: str) -> Any:
    tag = "tag:yaml.org,2002:str"
    if "\n" in text:
        return representer.represent_scalar(tag, text, style="|")
    plain = text and isinstance(yaml.scalar(text), str) and not _TIMESTAMP.fullmatch(text) and not _SEXAGESIMAL.fullmatch(text)
    return representer.represent_scalar(tag, text, style=None if plain else '"')


_Representer.add_representer(str, _represent_text)


def dumps(value: Any) -> bytes:
    """A JSON value as one YAML document."""
    writer = YAML(typ="safe", pure=False)
    writer.Representer = _Representer
    writer.default_flow_style = False
    writer.width = WIDTH
    writer.allow_unicode = True
    writer.sort_base_mapping_type_on_output = True  # type: ignore[assignment]
    out = io.BytesIO()
    writer.dump(value, out)
    return out.getvalue()
