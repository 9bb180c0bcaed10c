"""Leaving nothing behind: pods, links, addresses, rules, control groups. For `reconciler down`, after the daemon is gone.

Every step looks for what is there, whoever died on the way to here: the daemon, the keeper, or an earlier `down`.
Data stays: the journal, images, and the volumes of pods, which a later `up` starts again.
"""

import asyncio
import contextlib
import os
import shutil
import socket

from reconciler.daemon import machine
from reconciler.daemon.config import Config
from reconciler.node import network, rtnetlink
from reconciler.node.keeper import client, launch
from reconciler.node.runtimes import cgroups, types
from reconciler.node.volumes import places
from reconciler.proxy.backends import nftables

KEEPER_ATTEMPTS, KEEPER_PAUSE_SECONDS = 100, 0.02


def run(config: Config, most_grace_seconds: float) -> int:
    """Stop every container and remove what connected them; how many pods there were."""
    return asyncio.run(_remove(config, most_grace_seconds))


async def _remove(config: Config, most_grace_seconds: float) -> int:
    stopped, groups = 0, cgroups.Groups({})
    if (config.run_dir / launch.SOCKET).exists():
        groups = cgroups.detect((await machine.explore(config)).cgroup)
        stopped = await launch.stop_all(config.run_dir, most_grace_seconds)
        await _keeper_ends(config)
    groups.remove()
    places.remove_memory(config.data_dir / "pods")
    if os.geteuid() == 0:
        await _disconnect(config)
    return stopped


async def _keeper_ends(config: Config) -> None:
    """Its folder goes with it, but for the system's own, which belongs to the service manager that keeps a keeper."""
    if config.run_dir.name == "reconciler":
        return
    for _ in range(KEEPER_ATTEMPTS):
        try:
            await client.request(config.run_dir / launch.SOCKET, "hello")
        except (client.Gone, OSError):
            shutil.rmtree(config.run_dir, ignore_errors=True)
            return
        await asyncio.sleep(KEEPER_PAUSE_SECONDS)


async def _disconnect(config: Config) -> None:
    """Root without the right to administrate networks has left nothing there either."""
    instance, nft = machine.instance_of(config), machine.find_nft()
    with contextlib.suppress(types.RuntimeFailure, nftables.NftError, PermissionError):
        await network.PodNetwork(config.pod_range, nft=nft, instance=instance).remove()
        if nft:
            await nftables.NftablesBackend(nft, f"ip {instance}").remove()
    address = rtnetlink.delete_address(
        socket.if_nametoindex("lo"), machine.dns_address(config.service_range), machine.address_label(config)
    )
    try:
        with rtnetlink.open_socket() as channel:
            await asyncio.to_thread(rtnetlink.transact, channel, [address])
    except OSError as error:
        if not rtnetlink.is_absent(error) and not isinstance(error, PermissionError):
            raise
