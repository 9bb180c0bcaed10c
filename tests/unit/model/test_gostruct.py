from reconciler.kit import definitions
from reconciler.model import errors, gostruct
from reconciler.model.schema import Schemas

SCHEMAS = Schemas(definitions.load(), definitions.shapes())
CLAIM = SCHEMAS.of("io.k8s.api.core.v1.PersistentVolumeClaimSpec")


def test_fields_come_in_the_order_of_their_declaration() -> None:
    shown = gostruct.ordered(
        SCHEMAS.of("io.k8s.api.core.v1.ConfigMap"), {"data": {"b": "1", "a": "2"}, "metadata": {"uid": "u", "name": "n"}}
    )
    assert list(shown) == ["metadata", "data"]
    assert list(shown["metadata"]) == ["name", "uid"]
    assert list(shown["data"]) == ["a", "b"]


def test_what_is_unset_has_its_zero_value() -> None:
    shown = gostruct.internal(CLAIM, {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}})
    assert shown["AccessModes"] == ["ReadWriteOnce"]
    assert shown["Resources"] == {"Limits": None, "Requests": {"storage": "1Gi"}}
    assert shown["VolumeName"] == ""
    assert shown["DataSource"] is None


def test_the_host_fields_of_a_pod_are_in_its_security_context() -> None:
    shown = gostruct.internal(SCHEMAS.of("io.k8s.api.core.v1.PodSpec"), {"containers": [], "hostNetwork": True})
    assert "HostNetwork" not in shown
    assert shown["SecurityContext"]["HostNetwork"] is True
    assert shown["SecurityContext"]["FSGroup"] is None


def test_a_difference_has_three_lines_around_it() -> None:
    before, after = {"volumeMode": "Filesystem"}, {"volumeMode": "Block"}
    lines = gostruct.difference(CLAIM, before, after).splitlines()
    assert lines[0].startswith("@@ -")
    assert '- "VolumeMode": "Filesystem",' in lines
    assert '+ "VolumeMode": "Block",' in lines
    assert len(lines) == 9


def test_refusals_are_told_with_what_they_quote() -> None:
    changed = errors.changed("spec", "no", "io.k8s.api.core.v1.PersistentVolumeClaimSpec", {"volumeName": "b"}, {"volumeName": "a"})
    plain = errors.required("spec.x")
    told = gostruct.told(SCHEMAS, [changed, plain])
    assert told[0].message.startswith("Forbidden: no\n@@ ")
    assert told[1] is plain
