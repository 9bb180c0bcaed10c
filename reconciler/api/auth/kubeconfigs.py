"""The kubeconfig that the server hands to its owner, with everything inline."""

import base64
from pathlib import Path

import orjson

from reconciler.api.auth import certificates


def write_admin(path: Path, server: str, authority: certificates.Authority) -> None:
    """Write the admin's kubeconfig: JSON, which every reader of YAML reads."""
    identity = certificates.Identity(certificates.ADMIN, (certificates.MASTERS,))
    pair = authority.pair_for("admin", identity)
    user = {
        "client-certificate-data": _encoded(pair.certificate.read_bytes()),
        "client-key-data": _encoded(pair.key.read_bytes()),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "reconciler", "cluster": {"server": server, "certificate-authority-data": _encoded(authority.pem)}}],
        "users": [{"name": certificates.ADMIN, "user": user}],
        "contexts": [{"name": "reconciler", "context": {"cluster": "reconciler", "user": certificates.ADMIN}}],
        "current-context": "reconciler",
    }
    certificates.write_private(path, orjson.dumps(config, option=orjson.OPT_INDENT_2))


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()
