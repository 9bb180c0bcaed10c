"""What a scale says, read from the object it belongs to."""

from reconciler.model import kind, scale


def test_selectors_as_text() -> None:
    selector = {"matchLabels": {"b": "1"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}]}
    assert scale.selector_text(selector) == "a in (x,y),b=1"
    assert scale.selector_text({"b": "1", "a": "2"}) == "a=2,b=1"


def test_a_scale_is_found_where_the_kind_keeps_it() -> None:
    workload = {"spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}}, "status": {"replicas": 2}}
    assert scale.of(workload, kind.scale()) == scale.Scale(3, 2, "a=b")
    assert scale.of({}, kind.scale()) == scale.Scale(0, 0, "")
