"""What a node consists of: its addresses, the files that configure it, and the commands of its parts."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from isthmus.api.scheme import Manifest
from tests.real.images import PAUSE
from tests.real.machine import CGROUPS, NETWORK_PLUGINS

PREFIXES = ("/24", "/64")
MOST = 9
PORT = 6443
# What the kubelet demands of the kernel, and would set for the whole machine: it is shown files instead.
SHOWN = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}
OWN_FOLDERS = ("lib/kubelet", "lib/containerd", "lib/cni", "log/pods", "log/containers")
# Snapshotters and tracers that containerd would try, and warn of, without need.
UNUSED = (
    *(f"io.containerd.snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "zfs")),
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
)


@dataclass(frozen=True)
class Addresses:
    """The addresses of cluster `number` (1 to 9) in set `group` (1 to 9); pairs are (IPv4, IPv6).

    Apart from those of `isthmus up` and of control planes, whose clusters have numbers below 200. Clusters with the
    same `ranges` have the same ranges of pods and Services.
    """

    group: int
    number: int
    ranges: int

    @property
    def node(self) -> tuple[str, str]:
        """The node on the bridge; the API server answers there."""
        return f"10.210.{self.group}.{self.number}", f"fd6a:0:{self.group}::{self.number}"

    @property
    def machine(self) -> tuple[str, str]:
        """This machine on the bridge."""
        return f"10.210.{self.group}.254", f"fd6a:0:{self.group}::fe"

    @property
    def pod_ranges(self) -> tuple[str, str]:
        """Where the addresses of pods come from."""
        return f"10.{210 + self.ranges}.0.0/17", f"fd6a:{self.ranges}::/48"

    @property
    def node_ranges(self) -> tuple[str, str]:
        """What kube-controller-manager gives of that to the first node."""
        return f"10.{210 + self.ranges}.0.0/24", f"fd6a:{self.ranges}::/64"

    @property
    def service_ranges(self) -> tuple[str, str]:
        """Where the addresses of Services come from."""
        return f"10.{210 + self.ranges}.128.0/17", f"fd6a:{self.ranges}:1::/112"

    @property
    def kubernetes(self) -> tuple[str, str]:
        """The Service `default/kubernetes`."""
        return f"10.{210 + self.ranges}.128.1", f"fd6a:{self.ranges}:1::1"

    @property
    def dns(self) -> tuple[str, str]:
        """The Service of the cluster's name server."""
        return f"10.{210 + self.ranges}.128.10", f"fd6a:{self.ranges}:1::a"


@dataclass(frozen=True)
class Layout:
    """One node: where its files lie, and who it is."""

    folder: Path
    name: str
    addresses: Addresses
    region: str
    zone: str
    binary: Path

    @property
    def node(self) -> str:
        """The name of its Node object."""
        return f"{self.name}-node"

    @property
    def is_flat(self) -> bool:
        """Whether its pods are within reach of other clusters' pods: its ranges are its own."""
        return self.addresses.ranges == self.addresses.number

    @property
    def server(self) -> str:
        """The URL of its API server."""
        return f"https://{self.addresses.node[0]}:{PORT}"

    @property
    def cgroup(self) -> str:
        """The parent of its pods' cgroups."""
        return f"/isthmus-nodes-{self.addresses.group}-{self.name}"

    @property
    def pki(self) -> Path:
        """Where its keys lie."""
        return self.folder / "pki"

    @property
    def images_ready(self) -> Path:
        """The file that tells that all images are imported."""
        return self.folder / "images.ready"

    def cgroups(self) -> Iterator[Path]:
        """The folder of its cgroup in every hierarchy."""
        for hierarchy in sorted(CGROUPS.iterdir()):
            if hierarchy.is_dir() and not hierarchy.is_symlink() and hierarchy.name != "unified":
                yield hierarchy / self.cgroup.lstrip("/")

    def prepare(self) -> str:
        """The shell commands that make namespaces into a node: nothing of it shows in the machine's own folders."""
        lines = ["mount --make-rshared /", f"hostname {self.node}"]
        lines += [f"mount -t tmpfs -o mode=755 tmpfs {path}" for path in ("/run", "/var/lib", "/var/log")]
        lines += ["mkdir -p /run/lock /run/netns"]
        for path in OWN_FOLDERS:
            lines += [
                f"mkdir -p {self.folder}/var/{path} /var/{path}",
                f"mount --bind {self.folder}/var/{path} /var/{path}",
            ]
        lines += ["mount --make-rshared /"]
        for index, (path, value) in enumerate(SHOWN.items()):
            lines += [f"echo {value} >/run/sysctl.{index}", f"mount --bind /run/sysctl.{index} /proc/sys/{path}"]
        lines += ["ip link set lo up"]
        for path, value in (("ipv4/ip_forward", 1), ("ipv6/conf/all/forwarding", 1), ("ipv4/conf/all/rp_filter", 0)):
            lines += [f"echo {value} >/proc/sys/net/{path}"]
        return "\n".join(lines)

    def files(self) -> Iterator[tuple[str, str]]:
        """The configuration of its parts, by the file's name."""
        yield "containerd.toml", self._containerd()
        yield "cni/10-pods.conflist", json.dumps(self._network())
        yield "resolv.conf", f"nameserver {self.addresses.dns[0]}\n"
        yield "kubelet.yaml", yaml.safe_dump(self._kubelet())
        yield "kube-proxy.yaml", yaml.safe_dump(self._kube_proxy())
        yield "node.json", json.dumps({"prepare": self.prepare(), "parts": self.parts()})

    def _containerd(self) -> str:
        return f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = {list(UNUSED)}
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{NETWORK_PLUGINS}"
    conf_dir = "{self.folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""

    def _network(self) -> Manifest:
        ranges = [[{"subnet": each}] for each in self.addresses.node_ranges]
        routes = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
        memory = {"type": "host-local", "dataDir": "/run/pod-addresses", "ranges": ranges, "routes": routes}
        return {
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                # Where pods of several clusters have the same addresses, they go out under their node's.
                {"type": "ptp", "ipMasq": not self.is_flat, "mtu": 1500, "ipam": memory},
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }

    def _kubelet(self) -> Manifest:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.cgroup,
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "address": "0.0.0.0",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{self.pki}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{self.pki}/kubelet-server.crt",
            "tlsPrivateKeyFile": f"{self.pki}/kubelet-server.key",
            "clusterDNS": [self.addresses.dns[0]],
            "clusterDomain": "cluster.local",
            "resolvConf": f"{self.folder}/resolv.conf",
            "failSwapOn": False,
            "serializeImagePulls": False,
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "memory.available": "100Mi",
                **dict.fromkeys(("nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%"),
            },
            "maxPods": 200,
            # A changed ConfigMap reaches its pods after this long.
            "syncFrequency": "5s",
        }

    def _kube_proxy(self) -> Manifest:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clientConnection": {"kubeconfig": f"{self.pki}/system-kube-proxy.kubeconfig"},
            "clusterCIDR": ",".join(self.addresses.pod_ranges),
            # It would set limits for the whole machine.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }

    def parts(self) -> Manifest:
        """The commands of all parts, and the file that each waits for."""
        always, images = str(self.folder / "connected"), str(self.images_ready)
        return {
            "etcd": {"command": self._etcd(), "waitsFor": always},
            "kube-apiserver": {"command": self._apiserver(), "waitsFor": always},
            "containerd": {"command": ["containerd", f"--config={self.folder}/containerd.toml"], "waitsFor": always},
            "kube-controller-manager": {"command": self._controller_manager(), "waitsFor": always},
            "kube-scheduler": {"command": self._scheduler(), "waitsFor": always},
            "kubelet": {"command": self._kubelet_command(), "waitsFor": images},
            "kube-proxy": {"command": self._kube_proxy_command(), "waitsFor": images},
        }

    def _etcd(self) -> list[str]:
        client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
        return [
            *(str(self.binary), "etcd", "--name=node", f"--data-dir={self.folder}/etcd", "--log-level=warn"),
            *("--unsafe-no-fsync", f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=node={peer}"),
        ]

    def _apiserver(self) -> list[str]:
        pki = self.pki
        return [
            *(str(self.binary), "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--secure-port={PORT}"),
            *(f"--advertise-address={self.addresses.node[0]}", "--allow-privileged=true", "--profiling=false"),
            *("--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"),
            *(f"--client-ca-file={pki}/ca.crt", f"--tls-cert-file={pki}/server.crt"),
            *(f"--tls-private-key-file={pki}/server.key", f"--kubelet-certificate-authority={pki}/ca.crt"),
            *(f"--kubelet-client-certificate={pki}/kubelet-client.crt", "--kubelet-preferred-address-types=InternalIP"),
            *(f"--kubelet-client-key={pki}/kubelet-client.key", f"--service-account-key-file={pki}/sa.key"),
            *(f"--service-account-signing-key-file={pki}/sa.key", f"--requestheader-client-ca-file={pki}/front.crt"),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            *("--requestheader-allowed-names=front-proxy", "--requestheader-username-headers=X-Remote-User"),
            *("--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-"),
            *(f"--proxy-client-cert-file={pki}/front-proxy.crt", f"--proxy-client-key-file={pki}/front-proxy.key"),
            f"--service-cluster-ip-range={','.join(self.addresses.service_ranges)}",
        ]

    def _identity(self, user: str) -> list[str]:
        config = f"{self.pki}/{user.replace(':', '-')}.kubeconfig"
        return [
            *(f"--kubeconfig={config}", f"--authentication-kubeconfig={config}"),
            *(f"--authorization-kubeconfig={config}", "--leader-elect=false", "--profiling=false"),
        ]

    def _controller_manager(self) -> list[str]:
        pki = self.pki
        return [
            *(str(self.binary), "kube-controller-manager", *self._identity("system:kube-controller-manager")),
            *(f"--root-ca-file={pki}/ca.crt", f"--service-account-private-key-file={pki}/sa.key"),
            *(f"--cluster-signing-cert-file={pki}/ca.crt", f"--cluster-signing-key-file={pki}/ca.key"),
            *("--use-service-account-credentials=true", "--allocate-node-cidrs=true"),
            *("--concurrent-namespace-syncs=10", "--node-monitor-grace-period=20s"),
            f"--cluster-cidr={','.join(self.addresses.pod_ranges)}",
            f"--service-cluster-ip-range={','.join(self.addresses.service_ranges)}",
        ]

    def _scheduler(self) -> list[str]:
        return [str(self.binary), "kube-scheduler", *self._identity("system:kube-scheduler")]

    def _kubelet_command(self) -> list[str]:
        labels = {"topology.kubernetes.io/region": self.region, "topology.kubernetes.io/zone": self.zone}
        return [
            *(str(self.binary), "kubelet", f"--config={self.folder}/kubelet.yaml", f"--hostname-override={self.node}"),
            *(
                f"--kubeconfig={self.pki}/system-node-{self.node}.kubeconfig",
                f"--node-ip={','.join(self.addresses.node)}",
            ),
            f"--node-labels={','.join(f'{name}={value}' for name, value in labels.items())}",
        ]

    def _kube_proxy_command(self) -> list[str]:
        config = f"--config={self.folder}/kube-proxy.yaml"
        return [str(self.binary), "kube-proxy", config, f"--hostname-override={self.node}"]
