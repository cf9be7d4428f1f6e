"""A client: asks over TCP, UDP and DNS what its argument (a JSON list) says, and writes a JSON list of answers.

Runs by `python3 -c` in any image: nothing but the standard library, and no import of Isthmus. Names are resolved as
any program in the pod resolves them; DNS questions go to the first server of /etc/resolv.conf.
"""

import ipaddress
import json
import random
import socket
import struct
import sys

SECONDS = 2.0
TYPES = {"A": 1, "TXT": 16, "AAAA": 28, "SRV": 33}
FAMILIES = {"": socket.AF_UNSPEC, "IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}
LARGEST = 65535


def connected(host: str, port: int, family: str, kind: socket.SocketKind) -> socket.socket:
    """A socket to the first address of a name that takes it, as curl would find it."""
    error: OSError = OSError("no address")
    for found, _, _, _, address in socket.getaddrinfo(host, port, FAMILIES[family], kind):
        peer = socket.socket(found, kind)
        peer.settimeout(SECONDS)
        try:
            peer.connect(address)
        except OSError as problem:
            peer.close()
            error = problem
        else:
            return peer
    raise error


def over_tcp(host: str, port: int, family: str) -> str:
    """What a TCP connection says until its end."""
    said = b""
    with connected(host, port, family, socket.SOCK_STREAM) as peer:
        while data := peer.recv(2048):
            said += data
    return said.decode(errors="replace").strip()


def over_udp(host: str, port: int, family: str) -> str:
    """The datagram that answers one of ours."""
    with connected(host, port, family, socket.SOCK_DGRAM) as peer:
        peer.send(b"who answers?")
        return peer.recv(2048).decode(errors="replace").strip()


def server() -> str:
    """The pod's first name server."""
    with open("/etc/resolv.conf") as file:  # noqa: PTH123 - one module less in a small program
        return next(line.split()[1] for line in file if line.startswith("nameserver"))


def over_dns(name: str, kind: str) -> dict[str, object]:
    """The answer of the pod's name server: its code and its records of the type, whole, over TCP if it has to be."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    query = struct.pack("!6H", random.randrange(LARGEST), 0x0100, 1, 0, 0, 0)
    query += labels + b"\0" + struct.pack("!2H", TYPES[kind], 1)
    with connected(server(), 53, "", socket.SOCK_DGRAM) as peer:
        peer.send(query)
        packet = peer.recv(LARGEST)
        while packet[:2] != query[:2]:
            packet = peer.recv(LARGEST)
    if packet[2] & 0x02:
        packet = dns_over_tcp(query)
    return parsed(packet, TYPES[kind])


def dns_over_tcp(query: bytes) -> bytes:
    """The answer that was too long for a datagram."""
    with connected(server(), 53, "", socket.SOCK_STREAM) as peer:
        peer.sendall(struct.pack("!H", len(query)) + query)
        packet = b""
        while len(packet) < 2 or len(packet) < 2 + struct.unpack("!H", packet[:2])[0]:
            data = peer.recv(LARGEST)
            if not data:
                raise OSError("the name server closed the connection")
            packet += data
    return packet[2:]


def parsed(packet: bytes, kind: int) -> dict[str, object]:
    """Code and records of a DNS message (RFC 1035)."""
    _, flags, questions, answers, _, _ = struct.unpack("!6H", packet[:12])
    place = 12
    for _ in range(questions):
        place = name_at(packet, place)[1] + 4
    records = []
    for _ in range(answers):
        _, place = name_at(packet, place)
        found, _, ttl, length = struct.unpack("!HHIH", packet[place : place + 10])
        place += 10
        if found == kind:
            records.append({"ttl": ttl, **content(packet, place, length, kind)})
        place += length
    return {"rcode": flags & 15, "records": records}


def content(packet: bytes, place: int, length: int, kind: int) -> dict[str, object]:
    """What a record says."""
    data = packet[place : place + length]
    if kind in {TYPES["A"], TYPES["AAAA"]}:
        return {"value": str(ipaddress.ip_address(data))}
    if kind == TYPES["SRV"]:
        priority, weight, port = struct.unpack("!3H", data[:6])
        return {"priority": priority, "weight": weight, "port": port, "value": name_at(packet, place + 6)[0]}
    return {"value": data[1 : 1 + data[0]].decode(errors="replace")}


def name_at(packet: bytes, place: int) -> tuple[str, int]:
    """A name, maybe compressed, and where what follows it begins."""
    labels = []
    end = 0
    for _ in range(128):
        length = packet[place]
        if length >= 0xC0:
            end = end or place + 2
            place = (length & 0x3F) << 8 | packet[place + 1]
        elif length:
            labels.append(packet[place + 1 : place + 1 + length].decode(errors="replace"))
            place += 1 + length
        else:
            return ".".join(labels).lower() + ".", end or place + 1
    raise ValueError("a name without end")


def answers(question: dict[str, str]) -> list[object]:
    """One answer per try; what went wrong is an answer too."""
    said: list[object] = []
    for _ in range(int(question.get("count", "1"))):
        try:
            if question["do"] == "dns":
                said.append(over_dns(question["name"], question["type"]))
            else:
                ask = over_tcp if question["do"] == "tcp" else over_udp
                said.append(ask(question["host"], int(question["port"]), question["family"]))
        except (OSError, ValueError, IndexError, struct.error) as error:
            problem = f"error: {error}"
            said.append({"rcode": -1, "records": [], "error": problem} if question["do"] == "dns" else problem)
    return said


if __name__ == "__main__":
    json.dump([answers(question) for question in json.loads(sys.argv[1])], sys.stdout)
