"""What node clusters ask of the machine, and how it gets there.

    python -m tests.real

is `make real`: it builds the control plane, and, as root on Linux with what Debian packages, all that nodes need.
"""

import os
import shutil
import subprocess
from pathlib import Path

# What nodes run, and the package of Debian that it comes in.
PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "socat": "socat",
    "ip": "iproute2",
    "ipset": "ipset",
    "dig": "bind9-dnsutils",
    "nc.openbsd": "netcat-openbsd",
    "curl": "curl",
    "nsenter": "util-linux",
}
NETWORK_PLUGINS = Path("/usr/lib/cni")
CGROUPS = Path("/sys/fs/cgroup")
WATCHES = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH_WATCHES = 1024


def missing_packages() -> list[str]:
    """The packages of Debian that nodes need and that are not here."""
    packages = {package for program, package in PROGRAMS.items() if not shutil.which(program)}
    if not (NETWORK_PLUGINS / "ptp").exists():
        packages.add("containernetworking-plugins")
    return sorted(packages)


def lacks() -> str:
    """Why this machine cannot run nodes even with every package, in one sentence; "" if it can."""
    if os.geteuid() != 0:
        return "node clusters need root"
    if not (CGROUPS / "memory").is_dir():
        return "node clusters know cgroup v1 only, and this machine has not mounted it under /sys/fs/cgroup"
    if not os.access(CGROUPS / "memory", os.W_OK):
        return "node clusters make cgroups, and /sys/fs/cgroup is read-only here"
    made = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], capture_output=True, check=False)
    if made.returncode:
        return "node clusters make namespaces, and this root may not"
    return ""


def allow_watches() -> None:
    """Let root watch files often enough for several nodes: each does some 25 times, and 128 is usual."""
    if int(WATCHES.read_text()) < ENOUGH_WATCHES:
        WATCHES.write_text(str(ENOUGH_WATCHES))


def install(packages: list[str]) -> None:
    """Install packages with apt-get, without those that they merely recommend."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "-qq", "update"], check=True, env=environment)
    subprocess.run(
        ["apt-get", "-qq", "install", "--no-install-recommends", "--yes", *packages], check=True, env=environment
    )
