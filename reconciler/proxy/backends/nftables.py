"""Routes as nftables rules: two verdict maps and one chain per route, changed in one transaction a batch.

A packet's cost does not depend on the number of services: its destination is looked up in `service_ips` or
`node_ports`, which sends it to its route's chain, where one rule picks an endpoint. The table is ours alone; a
start replaces it whole. Connections that exist are kept by the kernel's own tracking.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping

from reconciler.model import meta
from reconciler.proxy.plan import Route

TIMEOUT_SECONDS = 30.0


# Destinations without endpoints are refused in filter hooks, where `reject` is allowed.
def skeleton(table: str) -> str:
    return f"""\
table {table}
delete table {table}
table {table} {{
  map service_ips {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map node_ports {{ type inet_proto . inet_service : verdict; }}
  set refused_ips {{ type ipv4_addr . inet_proto . inet_service; }}
  set refused_ports {{ type inet_proto . inet_service; }}
  set hairpins {{ type ipv4_addr . ipv4_addr; }}
  chain services {{
    ip daddr . meta l4proto . th dport vmap @service_ips
    fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @node_ports
  }}
  chain refusal {{
    meta l4proto tcp reject with tcp reset
    reject
  }}
  chain refuse {{
    meta l4proto {{ tcp, udp, sctp }} ip daddr . meta l4proto . th dport @refused_ips goto refusal
    meta l4proto {{ tcp, udp, sctp }} fib daddr type local meta l4proto . th dport @refused_ports goto refusal
  }}
  chain prerouting {{ type nat hook prerouting priority dstnat; policy accept; meta l4proto {{ tcp, udp, sctp }} jump services; }}
  chain output {{ type nat hook output priority -100; policy accept; meta l4proto {{ tcp, udp, sctp }} jump services; }}
  chain postrouting {{ type nat hook postrouting priority srcnat; policy accept; ip saddr . ip daddr @hairpins masquerade; }}
  chain refuse_input {{ type filter hook input priority -110; policy accept; ct state new jump refuse; }}
  chain refuse_forward {{ type filter hook forward priority -110; policy accept; ct state new jump refuse; }}
  chain refuse_output {{ type filter hook output priority -110; policy accept; ct state new jump refuse; }}
}}
"""


class NftError(Exception):
    """nft refused a transaction; nothing of it took effect."""


class NftablesBackend:
    """Owns the table; `apply` takes the routes of the services that changed."""

    name = "nftables"

    def __init__(self, nft: str, table: str = "ip reconciler") -> None:
        self._nft = nft
        self._table = table
        self._installed: dict[meta.Key, tuple[Route, ...]] = {}
        self._hairpins: dict[str, int] = {}  # endpoint address -> routes that use it

    async def start(self) -> None:
        """Replace whatever an earlier run left."""
        await self._run(skeleton(self._table))
        self._installed.clear()
        self._hairpins.clear()

    async def apply(self, changes: Mapping[meta.Key, tuple[Route, ...]]) -> None:
        """One transaction for all changes. Raises NftError, and is then exactly where it was before."""
        script: list[str] = []
        hairpins = dict(self._hairpins)
        for key, routes in changes.items():
            before = self._installed.get(key, ())
            if before != routes:
                script += _removed(self._table, before, hairpins)
                script += _added(self._table, routes, hairpins)
        script += _hairpin_changes(self._table, self._hairpins, hairpins)
        if script:
            await self._run("\n".join(script) + "\n")
        for key, routes in changes.items():
            if routes:
                self._installed[key] = routes
            else:
                self._installed.pop(key, None)
        self._hairpins = {ip: count for ip, count in hairpins.items() if count}

    async def remove(self) -> None:
        """Leave nothing behind."""
        await self._run(f"table {self._table}\ndelete table {self._table}\n")

    async def _run(self, script: str) -> None:
        process = await asyncio.create_subprocess_exec(
            self._nft, "-f", "-", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                _, errors = await process.communicate(script.encode())
        except TimeoutError:
            process.kill()
            await process.wait()
            raise NftError(f"nft gave no answer in {TIMEOUT_SECONDS:g} s") from None
        if process.returncode:
            raise NftError(f"nft refused the rules: {errors.decode(errors='replace').strip()[:1000]}")


def chain_of(route: Route) -> str:
    """The route's chain: the same name for the same destination, whatever its endpoints."""
    return "route-" + hashlib.blake2b(f"{route.name}|{route.protocol}|{route.port}".encode(), digest_size=8).hexdigest()


def _added(table: str, routes: Iterable[Route], hairpins: dict[str, int]) -> Iterator[str]:
    for route in routes:
        chain = chain_of(route)
        if not route.endpoints:
            yield from _elements(table, "add", route, "refused_ips", "refused_ports", "")
            continue
        yield f"add chain {table} {chain}"
        yield from _affinity_rules(table, route, chain) if route.affinity_seconds else [f"add rule {table} {chain} {_pick(route)}"]
        yield from _elements(table, "add", route, "service_ips", "node_ports", f" : goto {chain}")
        for endpoint in route.endpoints:
            hairpins[endpoint.ip] = hairpins.get(endpoint.ip, 0) + 1


def _removed(table: str, routes: Iterable[Route], hairpins: dict[str, int]) -> Iterator[str]:
    for route in routes:
        chain = chain_of(route)
        if not route.endpoints:
            yield from _elements(table, "delete", route, "refused_ips", "refused_ports", "")
            continue
        yield from _elements(table, "delete", route, "service_ips", "node_ports", f" : goto {chain}")
        yield f"flush chain {table} {chain}"
        parts = [f"{chain}-{index}" for index in range(len(route.endpoints))] if route.affinity_seconds else []
        yield from (f"flush chain {table} {part}" for part in parts)
        yield from (f"delete chain {table} {part}" for part in parts)
        yield from (f"delete set {table} {part}" for part in parts)
        yield f"delete chain {table} {chain}"
        for endpoint in route.endpoints:
            hairpins[endpoint.ip] -= 1


def _elements(table: str, verb: str, route: Route, addresses: str, ports: str, verdict: str) -> Iterator[str]:
    if route.ips:
        keys = ", ".join(f"{ip} . {route.protocol} . {route.port}{verdict}" for ip in route.ips)
        yield f"{verb} element {table} {addresses} {{ {keys} }}"
    if route.node_port:
        yield f"{verb} element {table} {ports} {{ {route.protocol} . {route.node_port}{verdict} }}"


def _pick(route: Route) -> str:
    if len(route.endpoints) == 1:
        (endpoint,) = route.endpoints
        return f"meta l4proto {route.protocol} dnat to {endpoint.ip}:{endpoint.port}"
    choices = ", ".join(f"{index} : {endpoint.ip} . {endpoint.port}" for index, endpoint in enumerate(route.endpoints))
    return f"meta l4proto {route.protocol} dnat ip to numgen random mod {len(route.endpoints)} map {{ {choices} }}"


def _affinity_rules(table: str, route: Route, chain: str) -> Iterator[str]:
    """A client that an endpoint has seen within the timeout goes there again."""
    for index, endpoint in enumerate(route.endpoints):
        part = f"{chain}-{index}"
        yield f"add set {table} {part} {{ type ipv4_addr; flags dynamic,timeout; timeout {route.affinity_seconds}s; size 65536; }}"
        yield f"add chain {table} {part}"
        yield f"add rule {table} {part} update @{part} {{ ip saddr }} meta l4proto {route.protocol} dnat to {endpoint.ip}:{endpoint.port}"
        yield f"add rule {table} {chain} ip saddr @{part} goto {part}"
    choices = ", ".join(f"{index} : goto {chain}-{index}" for index in range(len(route.endpoints)))
    yield f"add rule {table} {chain} numgen random mod {len(route.endpoints)} vmap {{ {choices} }}"


def _hairpin_changes(table: str, before: Mapping[str, int], after: Mapping[str, int]) -> Iterator[str]:
    """A pod that reaches itself through a service needs another source address."""
    for verb, gained, lost in (("add", after, before), ("delete", before, after)):
        ips = [f"{ip} . {ip}" for ip, count in gained.items() if count and not lost.get(ip)]
        if ips:
            yield f"{verb} element {table} hairpins {{ {', '.join(ips)} }}"
