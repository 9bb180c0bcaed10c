"""The definitions and shapes that ship with the package."""

from reconciler.kit import definitions


def test_definitions_are_read_once() -> None:
    loaded = definitions.load()
    assert definitions.load() is loaded
    assert loaded["io.k8s.api.core.v1.Pod"]["properties"]["spec"]["description"]


def test_references_lead_somewhere() -> None:
    loaded = definitions.load()
    wanted = set(_references(loaded))
    assert wanted <= loaded.keys()


def test_every_shape_belongs_to_a_definition() -> None:
    loaded = definitions.load()
    for name, fields in definitions.shapes().items():
        if name in loaded:
            assert set(fields) >= set(loaded[name].get("properties", ())) - {"apiVersion", "kind"}, name


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        here = [value["$ref"].rpartition("/")[2]] if isinstance(value.get("$ref"), str) else []
        return here + [found for inner in value.values() for found in _references(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in _references(inner)]
    return []
