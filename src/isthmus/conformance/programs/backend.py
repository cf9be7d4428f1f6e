"""A backend: answers `pod ip <address>` on TCP and UDP, over IPv4 and IPv6, on every port of $PORTS.

Runs by `python3 -c` in any image: nothing but the standard library, and no import of Isthmus.
"""

import os
import socket
import sys
import threading

ADDRESSES = [address for address in os.environ["POD_IPS"].split(",") if address]


def answer(family: int) -> bytes:
    """Who answers: the pod's own address of the family that was asked over."""
    wanted = ":" if family == socket.AF_INET6 else "."
    own = [address for address in ADDRESSES if wanted in address] or ADDRESSES
    return f"pod ip {own[0]}\n".encode()


def bound(family: int, kind: int, port: int) -> socket.socket:
    """A socket on all addresses of one family; IPv6 only, so that both families have their own."""
    opened = socket.socket(family, kind)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    opened.bind(("", port))
    return opened


def over_tcp(listener: socket.socket) -> None:
    """Say the answer to whoever connects."""
    listener.listen(64)
    while True:
        peer, _ = listener.accept()
        try:
            peer.sendall(answer(listener.family))
            peer.close()
        except OSError:  # gone before it was answered
            continue


def over_udp(opened: socket.socket) -> None:
    """Say the answer to each datagram."""
    while True:
        _, sender = opened.recvfrom(2048)
        opened.sendto(answer(opened.family), sender)


def main() -> None:
    """Serve until killed."""
    threads = []
    for port in os.environ["PORTS"].split(","):
        for family in (socket.AF_INET, socket.AF_INET6):
            if family == socket.AF_INET6 and not any(":" in address for address in ADDRESSES):
                continue
            for kind, serve in ((socket.SOCK_STREAM, over_tcp), (socket.SOCK_DGRAM, over_udp)):
                thread = threading.Thread(target=serve, args=(bound(family, kind, int(port)),))
                thread.start()
                threads.append(thread)
    sys.stdout.write("serving\n")
    sys.stdout.flush()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
