"""The dump of values in which Go's structs differ most from their JSON."""

import pytest

from reconciler.kit import definitions
from reconciler.model.schema import Schemas
from reconciler.model.spew import Dumper

DUMPER = Dumper(Schemas(definitions.load(), definitions.shapes()))
CORE = "io.k8s.api.core.v1."


def test_fields_of_embedded_structs_stand_within_these() -> None:
    assert DUMPER.text(CORE + "SecretKeySelector", {"name": "s", "key": "k", "optional": False}) == (
        "(v1.SecretKeySelector){LocalObjectReference:(v1.LocalObjectReference){Name:(string)s} Key:(string)k Optional:(*bool)false}"
    )


def test_lists_and_maps_without_entries_are_nil() -> None:
    text = DUMPER.text(CORE + "Capabilities", {"add": [], "drop": ["ALL", "KILL"]})
    assert text == "(v1.Capabilities){Add:([]v1.Capability)<nil> Drop:([]v1.Capability)[ALL KILL]}"
    text = DUMPER.text(CORE + "PodDNSConfigOption", {"name": "n"})
    assert text == "(v1.PodDNSConfigOption){Name:(string)n Value:(*string)<nil>}"


def test_maps_are_sorted() -> None:
    text = DUMPER.text("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector", {"matchLabels": {"b": "2", "a": "1"}})
    assert text.startswith("(v1.LabelSelector){MatchLabels:(map[string]string)map[a:1 b:2] MatchExpressions:")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (80, "{Type:(intstr.Type)0 IntVal:(int32)80 StrVal:(string)}"),
        ("http", "{Type:(intstr.Type)1 IntVal:(int32)0 StrVal:(string)http}"),
    ],
)
def test_numbers_or_names(value: int | str, text: str) -> None:
    expected = f"(v1.TCPSocketAction){{Port:(intstr.IntOrString){text} Host:(string)}}"
    assert DUMPER.text(CORE + "TCPSocketAction", {"port": value}) == expected


@pytest.mark.parametrize(
    ("limit", "integer", "decimal", "kept", "format"),
    [
        ("1Gi", (1073741824, 0), "<nil>", "1Gi", "BinarySI"),
        ("8Gi", (8589934592, 0), "<nil>", "", "BinarySI"),
        ("100m", (100, -3), "<nil>", "100m", "DecimalSI"),
        ("0", (0, 0), "<nil>", "0", "DecimalSI"),
        ("5e3", (5, 3), "<nil>", "5e3", "DecimalExponent"),
        ("-7k", (-7, 3), "<nil>", "-7k", "DecimalSI"),
        (
            "1Pi",
            (0, 0),
            "{unscaled:(big.Int){neg:(bool)false abs:(big.nat)[2882303761517117440 61035]} scale:(inf.Scale)9}",
            "",
            "BinarySI",
        ),
    ],
)
def test_quantities(limit: str, integer: tuple[int, int], decimal: str, kept: str, format: str) -> None:
    value, scale = integer
    assert DUMPER.text(CORE + "EmptyDirVolumeSource", {"sizeLimit": limit}) == (
        "(v1.EmptyDirVolumeSource){Medium:(v1.StorageMedium) SizeLimit:(*resource.Quantity)"
        f"{{i:(resource.int64Amount){{value:(int64){value} scale:(resource.Scale){scale}}} "
        f"d:(resource.infDecAmount){{Dec:(*inf.Dec){decimal}}} s:(string){kept} Format:(resource.Format){format}}}}}"
    )
