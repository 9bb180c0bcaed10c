"""Leaving nothing behind: pods, links, rules. For `reconciler down`, after the daemon is gone."""

import asyncio

from reconciler.daemon import machine
from reconciler.daemon.config import Config
from reconciler.node import network
from reconciler.node.keeper import launch
from reconciler.proxy.backends import nftables


def run(config: Config) -> int:
    """Stop every container and remove what connected them; how many pods there were."""
    return asyncio.run(_remove(config))


async def _remove(config: Config) -> int:
    if not (config.run_dir / launch.SOCKET).exists():
        return 0
    abilities = await machine.explore(config)
    stopped = await launch.stop_all(config.run_dir)
    if abilities.mode == "root":
        instance = machine.instance_of(config)
        await network.PodNetwork(config.pod_range, nft=abilities.nft, instance=instance).remove()
        if abilities.nft:
            await nftables.NftablesBackend(abilities.nft, f"ip {instance}").remove()
    return stopped
