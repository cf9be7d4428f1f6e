"""One supervisor per cluster set: it owns every process of the set, and they die with it.

It runs inside the set's own network namespace, as the first fork of the server that starts the others. Commands reach
it by `local.control`.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from isthmus.errors import Invalid, IsthmusError
from isthmus.kit.logs import configure
from isthmus.local.cluster import PROGRAMS, Cluster
from isthmus.local.control import Answer, Command, Peer, UnitStatus, failure, receive
from isthmus.local.forkserver import ForkServer, serve
from isthmus.local.network import SetNetwork
from isthmus.local.state import HUB, ClusterRecord, SetFiles, SetRecord
from isthmus.local.units import Keeper, Unit

log = logging.getLogger(__name__)


class Supervisor:
    """Brings clusters of one set up, keeps them so, and takes them down."""

    def __init__(
        self, files: SetFiles, network: SetNetwork | None, starter: ForkServer, tasks: asyncio.TaskGroup
    ) -> None:
        self.files = files
        self.network = network
        self.clusters: dict[str, Cluster] = {}
        self.over = asyncio.Event()
        self._starter = starter
        self._tasks = tasks
        # One command at a time: two `up` at once would otherwise race for numbers and names.
        self._turn = asyncio.Lock()

    async def obey(self, command: Command, listeners: list[socket.socket], peer: Peer) -> Answer:
        """Carry out one command. Raises IsthmusError with what the person has to know."""
        async with self._turn:
            match command.do:
                case "up":
                    await self.up(command, listeners, peer)
                case "join" | "leave":
                    await self.change_membership(command, peer)
                case "stop":
                    await self.stop(command.clusters, peer)
                case "down":
                    await self.down(peer)
                case "status":
                    pass
                case _:
                    raise Invalid(f"the supervisor knows no command {command.do!r}")
        return Answer(units=self.units())

    def units(self) -> tuple[UnitStatus, ...]:
        """Every process of the set, and every cluster that was stopped."""
        running = [keeper.status for cluster in self.clusters.values() for keeper in cluster.keepers.values()]
        stopped = [
            UnitStatus(name=name, cluster=name, state="stopped")
            for name, record in self.files.read().clusters.items()
            if record.stopped
        ]
        return tuple(running + stopped)

    async def up(self, command: Command, listeners: list[socket.socket], peer: Peer) -> None:
        """Start the named clusters that do not run, the hub first: the others' agents need it."""
        record = self.files.read()
        record = SetRecord(
            clusters=record.clusters,
            dns_upstream=command.dns_upstream or record.dns_upstream,
            heartbeat=command.heartbeat or record.heartbeat,
        )
        wanted = dict(zip(command.clusters, listeners, strict=True))
        for name, listener in wanted.items():
            known = record.clusters.get(name)
            number = known.number if known else 0 if name == HUB else record.free_number()
            joined = known.joined if known else not command.alone
            port = listener.getsockname()[1]
            record = record.with_cluster(name, ClusterRecord(number=number, port=port, joined=joined))
        self.files.write(record)
        fresh = {name: listener for name, listener in wanted.items() if name not in self.clusters}
        for listener in (listener for name, listener in wanted.items() if name not in fresh):
            listener.close()
        for name, listener in fresh.items():
            self.clusters[name] = Cluster(self.files, name, record, listener, self._keep)
        if HUB in fresh:
            await self._start([HUB], peer)
        await self._start([name for name in fresh if name != HUB], peer)

    async def _start(self, names: list[str], peer: Peer) -> None:
        hub_runs = HUB in self.clusters
        starting = (self.clusters[name].start(self.network, hub_runs=hub_runs, say=peer.say) for name in names)
        ended = await asyncio.gather(*starting, return_exceptions=True)
        problems = [problem for problem in ended if isinstance(problem, BaseException)]
        if not problems:
            return
        # What was begun is taken back, so that the next `up` starts from a clean place.
        for name in names:
            await self.clusters.pop(name).end()
        raise problems[0]

    def _keep(self, unit: Unit) -> Keeper:
        keeper = Keeper(unit, self._starter.start, jitter=random.random)
        keeper.start(self._tasks)
        return keeper

    async def stop(self, names: tuple[str, ...], peer: Peer) -> None:
        """End all processes of the named clusters, and leave them down until `start`."""
        for name in names:
            record = self.files.read()
            known = record.clusters.get(name)
            if known is None:
                there = ", ".join(record.clusters)
                raise Invalid(f"there is no cluster {name!r} in set {self.files.name!r}; there are: {there}")
            self.files.write(record.with_cluster(name, msgspec.structs.replace(known, stopped=True)))
            cluster = self.clusters.pop(name, None)
            if cluster:
                peer.say(f"stopping {name}")
                await cluster.end()

    async def change_membership(self, command: Command, peer: Peer) -> None:
        """Start the agents of clusters that have joined by hand, or end those of clusters that leave."""
        for name in command.clusters:
            cluster = self.clusters.get(name)
            if cluster is None:
                raise Invalid(f"{name} does not run. Type: isthmus start {name} --set {self.files.name}")
            joined = command.do == "join"
            record = self.files.read()
            self.files.write(record.with_cluster(name, msgspec.structs.replace(record.clusters[name], joined=joined)))
            await (cluster.employ() if joined else cluster.dismiss())
            peer.say(f"the agent of {name} {'runs' if joined else 'has ended'}")

    async def down(self, peer: Peer) -> None:
        """End everything, and then this process."""
        peer.say(f"stopping {', '.join(self.clusters) or 'nothing: no cluster runs'}")
        await asyncio.gather(*(cluster.end() for cluster in self.clusters.values()))
        self.clusters.clear()
        self.over.set()

    async def serve(self, door: socket.socket) -> None:
        """Take commands until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(door)
            self._tasks.create_task(self._answer(connection), name="command")

    async def _answer(self, connection: socket.socket) -> None:
        peer = Peer(connection)
        with connection:
            try:
                command, listeners = await receive(connection)
                peer.end(await self.obey(command, listeners, peer))
            except IsthmusError as error:
                peer.end(failure(error))
            except (OSError, TimeoutError) as error:
                log.warning("command failed", extra={"error": str(error)})
                peer.end(Answer(error=f"{error}; see {self.files.log}"))


@contextlib.asynccontextmanager
async def supervising(files: SetFiles, network: SetNetwork | None, starter: ForkServer) -> AsyncIterator[Supervisor]:
    """A supervisor whose processes end with the block."""
    async with asyncio.TaskGroup() as tasks:
        supervisor = Supervisor(files, network, starter, tasks)
        try:
            yield supervisor
        finally:
            await asyncio.gather(*(cluster.end() for cluster in supervisor.clusters.values()))


async def run(files: SetFiles, starter: ForkServer, *, nodes: bool) -> None:
    """Supervise one set until `down`, or SIGTERM."""
    network = SetNetwork.create() if nodes else None
    loop = asyncio.get_running_loop()
    files.socket.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(str(files.socket))
        door.listen()
        door.setblocking(False)
        async with supervising(files, network, starter) as supervisor:
            loop.add_signal_handler(signal.SIGTERM, supervisor.over.set)
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(supervisor.serve(door), name="serve")
                await supervisor.over.wait()
                serving.cancel()
    if network:
        network.close()
    files.socket.unlink(missing_ok=True)


def main() -> None:
    """Supervise the set whose folder's parent and name are the arguments; a second supervisor ends at once."""
    root, name, nodes = sys.argv[1:]
    configure(json=False, level="INFO")
    files = SetFiles(name, Path(root))
    with (files.folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another supervisor has this set", extra={"set": name})
            sys.exit(os.EX_TEMPFAIL)
        lock.write(str(os.getpid()))
        lock.flush()
        serve(PROGRAMS, lambda starter: asyncio.run(run(files, starter, nodes=nodes == "nodes")))


if __name__ == "__main__":
    main()
