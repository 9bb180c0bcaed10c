"""Links in what is proxied: Location headers and HTML attributes that are absolute paths gain the proxy's own prefix."""

import re
from urllib.parse import urlsplit

HTML_MOST_BYTES = 4 * 1024 * 1024  # longer pages pass as they are
# Tags and those of their attributes that are URLs, as HTML has them.
_ATTRIBUTES = {
    "a": ("href",), "applet": ("codebase",), "area": ("href",), "audio": ("src",), "base": ("href",), "blockquote": ("cite",),
    "body": ("background",), "button": ("formaction",), "command": ("icon",), "del": ("cite",), "embed": ("src",), "form": ("action",),
    "frame": ("longdesc", "src"), "head": ("profile",), "html": ("manifest",), "iframe": ("longdesc", "src"),
    "img": ("longdesc", "src", "usemap"), "input": ("src", "usemap", "formaction"), "ins": ("cite",), "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"), "q": ("cite",), "script": ("src",), "source": ("src",),
    "video": ("poster", "src"),
}  # fmt: skip
_TAG = re.compile(rb"<([a-zA-Z]+)((?:\s+[^\s=>\"']+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'>]+))?)*\s*/?>)")
_ATTRIBUTE = re.compile(rb"(\s)([^\s=>\"'/]+)(\s*=\s*)(\"[^\"]*\"|'[^']*'|[^\s\"'>]+)")


def link(url: str, prefix: str, hosts: tuple[str, ...]) -> str:
    """A link as the client can follow it: `prefix` before absolute paths of the target itself, `hosts` being its names."""
    parts = urlsplit(url)
    if (parts.netloc and parts.netloc not in hosts) or not parts.path.startswith("/") or parts.path.startswith(f"{prefix}/"):
        return url
    return parts._replace(scheme="", netloc="", path=prefix + parts.path).geturl()


def html(page: bytes, prefix: str, hosts: tuple[str, ...]) -> bytes:
    def tag(found: re.Match[bytes]) -> bytes:
        names = _ATTRIBUTES.get(found[1].decode().lower())
        if names is None:
            return found[0]

        def attribute(one: re.Match[bytes]) -> bytes:
            if one[2].decode("latin-1").lower() not in names:
                return one[0]
            quote = one[4][:1] if one[4][:1] in (b'"', b"'") else b""
            value = one[4][len(quote) : len(one[4]) - len(quote)].decode("utf-8", "surrogateescape")
            return b"".join((one[1], one[2], one[3], quote, link(value, prefix, hosts).encode("utf-8", "surrogateescape"), quote))

        return b"<" + found[1] + _ATTRIBUTE.sub(attribute, found[2])

    return _TAG.sub(tag, page)
