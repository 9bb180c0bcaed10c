"""What runs pods in this process: the machine itself, or simulated nodes. Wired here, and imported only where there is one."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from reconciler.daemon import announcing, machine
from reconciler.loop import perform
from reconciler.model import meta, view
from reconciler.model.view import View
from reconciler.node import kubelet, logs, pages
from reconciler.node.volumes import folders
from reconciler.proxy import announce
from reconciler.proxy import plan as services

if TYPE_CHECKING:
    from reconciler.daemon.wiring import Daemon


async def start_machine(daemon: "Daemon", abilities: machine.Abilities) -> machine.Machine:
    """This machine as a node, with its service proxy, addresses and volumes."""
    config, client = daemon.config, daemon.client("kubelet")
    made = machine.Machine(config, abilities, client, daemon.cache, daemon.clock, daemon.performers(client, "the node"))
    await made.start()
    daemon.closers.append(made.close)
    daemon.node.node = _kubelet(daemon, made)
    daemon.drivers.append(made.agent.driver)
    daemon.usage.append(made.agent)
    daemon.tasks.start(made.agent.run(), "node")
    driver = daemon.driver("node", "kube-proxy", {services.Program: made.proxy.perform})
    driver.add(services.controller(made.name))
    daemon.tasks.start(driver.run(), "service proxy")
    if config.load_balancer is not None:
        _announce(daemon, config.load_balancer.interface)
    if config.volumes_folder is not None:
        _keep_folders(daemon, folders.is_on(made.name), folders.Folders(config.volumes_folder).perform)
    daemon.notes += made.notes
    return made


def start_simulation(daemon: "Daemon") -> None:
    from reconciler.node.sim import agent
    from reconciler.node.sim import kubelet as kubelets

    daemon.node.node = kubelets.SimulatedKubelet(lambda node: daemon.cache.by("pods", view.NODE, node))
    simulated = agent.Agent(daemon.client("kubelet"), daemon.cache, daemon.clock, daemon.config.nodes)
    daemon.usage.append(simulated)
    daemon.tasks.start(simulated.run(), "simulated nodes")
    _keep_folders(daemon, lambda view, volume: True, folders.pretend)


def _announce(daemon: "Daemon", interface: str) -> None:
    announcer = announcing.Announcer(interface, machine.instance_of(daemon.config))
    daemon.closers.append(announcer.close)
    driver = daemon.driver("node", "kube-proxy", announcer.performers())
    driver.add(announce.CONTROLLER)
    daemon.tasks.start(driver.run(), "load balancer addresses")


def _keep_folders(daemon: "Daemon", is_here: Callable[[View, meta.Obj], bool], performer: perform.Performer) -> None:
    if daemon.config.volumes_folder is not None:
        driver = daemon.driver("node", "kubelet", {folders.Make: performer, folders.Remove: performer})
        driver.add(folders.controller(is_here, daemon.config.volumes_folder))
        daemon.tasks.start(driver.run(), "local volumes")


def _kubelet(daemon: "Daemon", made: machine.Machine) -> kubelet.Kubelet:
    container_logs = logs.Logs(made.runtime, daemon.clock)
    shown = pages.Pages(lambda: daemon.cache.by("pods", view.NODE, made.name), container_logs, machine.log_root(daemon.config))
    return kubelet.Kubelet(made.name, made.runtime, container_logs, shown)
