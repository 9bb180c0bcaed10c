"""Reading a kubeconfig: which server, trusted by which authority, as whom.

The current context's cluster and user, with files resolved next to the kubeconfig. Tokens, client certificates and
plain HTTP are understood; exec plugins and auth providers are refused by name.
"""

import base64
import binascii
import json
import pathlib
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Unusable(ValueError):
    """The kubeconfig cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Cluster:
    server: str
    authority: bytes = b""  # PEM; empty: the system's
    certificate: bytes = b""
    key: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    is_insecure: bool = False

    def ssl_context(self) -> ssl.SSLContext:
        """Raises ValueError, ssl.SSLError for certificates that cannot be read."""
        context = ssl.create_default_context(cadata=self.authority.decode() or None)
        if self.is_insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            with tempfile.NamedTemporaryFile(suffix=".pem") as pem:  # mode 0600; OpenSSL reads files only
                pem.write(self.certificate + b"\n" + self.key)
                pem.flush()
                context.load_cert_chain(pem.name)
        return context


def load(path: pathlib.Path) -> Cluster:
    """Raises Unusable, OSError."""
    config = _parsed(path)
    name = config.get("current-context") or _first(config, "contexts")
    context = _named(config, "contexts", "context", name)
    cluster = _named(config, "clusters", "cluster", str(context.get("cluster", "")))
    user = _named(config, "users", "user", str(context["user"])) if context.get("user") else {}
    for refused in ("exec", "auth-provider"):
        if refused in user:
            raise Unusable(f"user {context['user']}: {refused} is not supported; use a client certificate or a token")
    token = str(user.get("token") or "")
    if not token and user.get("tokenFile"):
        token = (path.parent / str(user["tokenFile"])).read_text().strip()
    return Cluster(
        server=str(cluster.get("server") or ""),
        authority=_material(path, cluster, "certificate-authority"),
        certificate=_material(path, user, "client-certificate"),
        key=_material(path, user, "client-key"),
        token=token,
        is_insecure=bool(cluster.get("insecure-skip-tls-verify")),
    )


def _parsed(path: pathlib.Path) -> Mapping[str, Any]:
    text = path.read_text()
    try:
        config = json.loads(text)  # our own is JSON, and needs no YAML library
    except ValueError:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            config = YAML(typ="safe").load(text)
        except YAMLError as error:
            raise Unusable(f"no YAML: {error}") from error
    if not isinstance(config, Mapping):
        raise Unusable("want a mapping with clusters, users and contexts")
    return config


def _first(config: Mapping[str, Any], kind: str) -> str:
    found = config.get(kind) or ()
    if not found:
        raise Unusable(f"it has no {kind}")
    return str(found[0]["name"])


def _named(config: Mapping[str, Any], kind: str, key: str, name: str) -> Mapping[str, Any]:
    for entry in config.get(kind) or ():
        if entry.get("name") == name:
            return dict(entry.get(key) or {})
    raise Unusable(f"it has no {key} named {name!r}")


def _material(path: pathlib.Path, holder: Mapping[str, Any], key: str) -> bytes:
    """A PEM, inline or in a file."""
    if holder.get(key + "-data"):
        try:
            return base64.b64decode(holder[key + "-data"], validate=True)
        except binascii.Error as error:
            raise Unusable(f"{key}-data is no base64: {error}") from error
    return (path.parent / str(holder[key])).read_bytes() if holder.get(key) else b""
