"""Nodes: what kubectl prints of them."""

import pytest

from reconciler.kinds import node


@pytest.mark.parametrize(
    ("info", "shown"),
    [
        ({"kernelVersion": "6.1", "architecture": "amd64"}, "6.1 (amd64)"),
        ({"kernelVersion": "6.1"}, "6.1"),
        ({"architecture": "amd64"}, "<unknown>"),
        ({}, "<unknown>"),
    ],
)
def test_the_kernel_is_shown_with_its_architecture(info: dict[str, str], shown: str) -> None:
    cells = {column.name: column.cell({"status": {"nodeInfo": info}}, 0.0) for column in node.KIND.columns}
    assert cells["Kernel-Version"] == shown
