"""One real cluster: its node's life, and ways to harm it.

A node is a set of namespaces below a first process (init.py); killing that ends all that is in it, and the kernel
kills it when the thread that started it ends.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.real.asking import Server
from tests.real.certificates import Authority, write_service_account_key
from tests.real.coredns import manifests
from tests.real.layout import MOST, PREFIXES, Addresses, Layout
from tests.real.network import connect, cut_cable, dies_with_us, disconnect, enter, ip, wait_for_namespace

INIT = Path(__file__).parent / "init.py"
LIMIT = 120.0
EVERY = 0.1
NAMESPACES = ("--pid", "--mount", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NodeCluster:
    """A cluster with one node. `stop` is pulling the plug: after `start` it goes on with the state that it had."""

    def __init__(self, layout: Layout, bridge: int) -> None:
        self.layout = layout
        self.name = layout.name
        self.number = layout.addresses.number
        self.node = layout.node
        self.node_ip = layout.addresses.node
        self.pod_ranges = layout.addresses.pod_ranges
        self.service_ranges = layout.addresses.service_ranges
        self.kubeconfig = layout.pki / "admin.kubeconfig"
        self._bridge = bridge
        self._started: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """Where all its state and its logs lie."""
        return self.layout.folder

    @property
    def server(self) -> Server:
        """Its API server, asked as its admin."""
        return Server(self.layout.server, self.layout.pki)

    @property
    def init(self) -> int:
        """The first process of the node; 0 while it is off."""
        with contextlib.suppress(FileNotFoundError):
            return int((self.folder / "init.pid").read_text())
        return 0

    def start(self, archives: Sequence[Path] = ()) -> None:
        """Switch the node on, give it images that it does not have yet, and wait until pods run on it."""
        self.launch()
        self.wait_ready(archives)

    def launch(self) -> None:
        """Switch the node on, and wait for nothing; to be called from a thread that lives as long as the node."""
        self._write_files()
        self._make_cgroups()
        for leftover in ("ready", "connected", "images.ready"):
            (self.folder / leftover).unlink(missing_ok=True)
        with (self.folder / "log" / "init.log").open("ab") as log:
            self._started = subprocess.Popen(
                dies_with_us(
                    ["unshare", *NAMESPACES, "--propagation=private", sys.executable, str(INIT), str(self.folder)]
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": PATH, "HOME": "/root", "GOMAXPROCS": "2"},
            )
        self._wait("its first process starts", lambda: _children(self._launched()), "init")
        init = _children(self._launched())[0]
        wait_for_namespace(init)
        (self.folder / "init.pid").write_text(str(init))
        addresses = [address + prefix for address, prefix in zip(self.node_ip, PREFIXES, strict=True)]
        connect(self._bridge, self.name, init, addresses)
        ip(init, self._routes())
        self._wait("it is prepared", (self.folder / "ready").exists, "init")
        (self.folder / "connected").touch()

    def wait_ready(self, archives: Sequence[Path] = ()) -> None:
        """Load images; then wait until its API server, its node and its name server are ready."""
        self._wait("containerd answers", lambda: self.inside("ctr", "version").returncode == 0, "containerd")
        self.load(*archives)
        self.layout.images_ready.touch()
        server = self.server
        self._wait("its API server is ready", server.is_ready, "kube-apiserver")
        for path, manifest in manifests(self.layout.addresses.dns):
            server.create(path, manifest)
        self._wait("its node is Ready", self.is_ready, "kubelet")
        path = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
        self._wait("CoreDNS is ready", lambda: server.get(path).get("status", {}).get("readyReplicas"), "kubelet")

    def is_ready(self) -> bool:
        """Whether its Node object says Ready."""
        status = self.server.get(f"/api/v1/nodes/{self.node}").get("status", {})
        return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", ()))

    def stop(self) -> None:
        """Kill all that is in the node; its disk stays."""
        init = self.init
        if self._started:
            self._started.kill()
            self._started.wait()
        elif init:
            os.kill(init, signal.SIGKILL)
        self._wait("its first process ends", lambda: not Path(f"/proc/{init}/ns").exists() or not init, "init")
        (self.folder / "init.pid").unlink(missing_ok=True)
        disconnect(self._bridge, self.name)
        remove_cgroups(list(self.layout.cgroups()))

    def kill(self, part: str) -> None:
        """Kill one part with -9; the node starts it again after half a second."""
        os.kill(self.process_of(part), signal.SIGKILL)

    def freeze(self, part: str, *, frozen: bool = True) -> None:
        """Stop one part in its tracks, or let it go on."""
        os.kill(self.process_of(part), signal.SIGSTOP if frozen else signal.SIGCONT)

    def freeze_all(self, *, frozen: bool = True) -> None:
        """Stop everything on the node in its tracks, its pods too, or let it go on."""
        for process in _all_below(self.init):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP if frozen else signal.SIGCONT)

    def cut(self, *, cut: bool = True) -> None:
        """Pull the node's cable, or put it back."""
        cut_cable(self._bridge, self.name, cut=cut)

    def inside(self, *command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command of this machine inside the node, where pod and service addresses are reached."""
        return subprocess.run(enter(self.init, command), input=stdin, capture_output=True, timeout=LIMIT, check=False)

    def load(self, *archives: Path) -> None:
        """Give the node images, which its pods can then use."""
        for archive in archives:
            done = self.inside("ctr", "-n", "k8s.io", "images", "import", str(archive))
            if done.returncode:
                raise RuntimeError(f"{self.name}: {archive.name} was not imported: {done.stderr.decode()}")

    def process_of(self, part: str) -> int:
        """The process of one part; raises LookupError while it does not run."""
        for process in _children(self.init):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[:2]
                if part.encode() in words:
                    return process
        raise LookupError(f"{self.name}: {part} does not run")

    def log_of(self, part: str, size: int = 2000) -> str:
        """The end of the log of one part."""
        path = self.folder / "log" / f"{part}.log"
        return path.read_text(errors="replace")[-size:] if path.exists() else ""

    def _launched(self) -> int:
        if self._started is None or self._started.poll() is not None:
            raise RuntimeError(f"{self.name}: the node did not start; the end of its log:\n{self.log_of('init')}")
        return self._started.pid

    def _wait(self, what: str, true: Callable[[], object], log: str) -> None:
        limit = time.monotonic() + LIMIT
        while not true():
            if time.monotonic() > limit:
                raise RuntimeError(
                    f"{self.name}: not within {LIMIT:.0f} s: {what}; the end of {log}.log:\n{self.log_of(log)}"
                )
            time.sleep(EVERY)

    def _routes(self) -> Iterator[str]:
        mine = self.layout.addresses
        # Before kube-proxy turns a packet to a Service's address to a pod, there must be some way for it.
        yield from (f"route replace {services} dev eth0" for services in mine.service_ranges)
        others = (Addresses(mine.group, number, number) for number in range(1, MOST + 1) if number != mine.number)
        for other in others if self.layout.is_flat else ():
            for pods, node in zip(other.pod_ranges, other.node, strict=True):
                yield f"route replace {pods} via {node}"

    def _write_files(self) -> None:
        for name in ("log", "cni", "pki"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name, text in self.layout.files():
            (self.folder / name).write_text(text)
        if not self.kubeconfig.exists():
            write_keys(self.layout)

    def _make_cgroups(self) -> None:
        for folder in self.layout.cgroups():
            folder.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (folder / name).exists():
                    (folder / name).write_text((folder.parent / name).read_text())


def write_keys(layout: Layout) -> None:
    """All certificates and kubeconfigs of a cluster."""
    authority = Authority(layout.pki)
    write_service_account_key(layout.pki)
    names = ["localhost", layout.node, "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    own = layout.addresses
    authority.sign(
        "server",
        "kube-apiserver",
        addresses=[*own.node, *own.machine, *own.kubernetes, "127.0.0.1", "::1"],
        names=names,
    )
    authority.sign("kubelet-server", f"system:node:{layout.node}", ["system:nodes"], own.node, [layout.node])
    authority.sign("kubelet-client", "kube-apiserver-kubelet-client", ["system:masters"])
    Authority(layout.pki, "front").sign("front-proxy", "front-proxy")
    for user in ("system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy"):
        authority.kubeconfig(layout.server, user)
    authority.kubeconfig(layout.server, f"system:node:{layout.node}", ["system:nodes"])
    authority.kubeconfig(layout.server, "admin", ["system:masters"], context=layout.name)


def remove_cgroups(folders: Sequence[Path]) -> None:
    """Remove cgroups whose processes are about to end, with all below them."""
    limit = time.monotonic() + LIMIT
    while left := [path for folder in folders for path, _, _ in os.walk(folder, topdown=False)]:
        for path in left:
            with contextlib.suppress(OSError):
                Path(path).rmdir()
        if time.monotonic() > limit:
            raise RuntimeError(f"cgroups that do not go: {', '.join(left)}")
        time.sleep(EVERY)


def _children(process: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def _all_below(process: int) -> Iterator[int]:
    """A process, then all that it has started: whoever is stopped before its children are read gets no more of them."""
    yield process
    for child in _children(process):
        yield from _all_below(child)
