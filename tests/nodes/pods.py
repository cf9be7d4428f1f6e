"""Pods that answer, and pods that ask: manifests, and the programs that run in them."""

from collections.abc import Sequence

from isthmus.api.scheme import Manifest
from tests.real.images import TOOLS

# Where pods answer: HTTP on two ports, UDP on the first of them.
PORT, OTHER_PORT = 8080, 9090
PORTS: tuple[Manifest, ...] = (
    {"name": "http", "port": 80, "targetPort": PORT},
    {"name": "echo", "port": 81, "targetPort": PORT, "protocol": "UDP"},
)
# Says its pod's name and who asked, over TCP and UDP, IPv4 and IPv6.
ANSWERS = f"""
import os, socket, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

def answer(client):
    return f"{{os.uname().nodename}} {{client.removeprefix('::ffff:')}}\\n".encode()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer(self.client_address[0]))

class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 128

def udp():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.bind(("::", {PORT}))
        while True:
            _, client = server.recvfrom(4096)
            server.sendto(answer(client[0]), client)

threading.Thread(target=udp).start()
threading.Thread(target=Server(("::", {OTHER_PORT}), Handler).serve_forever).start()
Server(("::", {PORT}), Handler).serve_forever()
"""
# ask.py tcp|udp HOST PORT TIMES: the first word of each answer, or "-" where there was none.
ASKS = """
import socket, sys
transport, host, port, times = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
for _ in range(times):
    try:
        family, _, _, _, there = socket.getaddrinfo(host, port, type=kind)[0]
        with socket.socket(family, kind) as asking:
            asking.settimeout(2)
            asking.connect(there)
            asking.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            got = b""
            while piece := asking.recv(4096):
                got += piece
                if transport == "udp":
                    break
        print(got.decode().splitlines()[-1].split()[0])
    except OSError:
        print("-")
"""


def answering(namespace: str, name: str, labels: Manifest) -> Manifest:
    """A pod that says its name to whoever asks."""
    return pod(namespace, name, ["python3", "-c", ANSWERS], labels, ready_at=PORT)


def asking(namespace: str, name: str) -> Manifest:
    """A pod that waits for commands."""
    return pod(namespace, name, ["sleep", "infinity"], {})


def pod(
    namespace: str, name: str, command: Sequence[str], labels: Manifest, *, ready_at: int | None = None
) -> Manifest:
    """A pod of one container."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": spec(command, ready_at=ready_at),
    }


def spec(command: Sequence[str], *, ready_at: int | None = None) -> Manifest:
    """What a pod of one container is; with a port at which it is ready once it takes connections."""
    container: Manifest = {
        "name": "main",
        "image": TOOLS,
        "command": list(command),
        # A share of the processor: without any, a pod stands still whenever others start.
        "resources": {"requests": {"cpu": "20m"}},
    }
    if ready_at:
        container["readinessProbe"] = {"tcpSocket": {"port": ready_at}, "periodSeconds": 1, "timeoutSeconds": 5}
    return {"terminationGracePeriodSeconds": 0, "containers": [container]}


def service(namespace: str, name: str, **fields: object) -> Manifest:
    """A dual-stack Service in front of the pods `app: shop`, unless `fields` say otherwise."""
    usual = {"selector": {"app": "shop"}, "ports": list(PORTS), "ipFamilyPolicy": "PreferDualStack"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {**usual, **fields},
    }
