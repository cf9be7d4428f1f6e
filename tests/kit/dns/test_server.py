"""The server, asked by stock tools and by hand, politely and not."""

import asyncio
import random
import shutil
import socket
from ipaddress import ip_address

import dns.flags
import dns.message
import pytest

from isthmus.errors import Invalid, Unreachable
from isthmus.kit.dns import udp
from isthmus.kit.dns.client import exchange, resolve
from isthmus.kit.dns.message import Answer, Forward, Question, Rcode
from isthmus.kit.dns.records import Address, Record, Service, Type
from isthmus.kit.dns.server import ROUNDS, bind
from isthmus.kit.dns.zone import Zone
from isthmus.kit.metrics import Durations
from tests.kit.dns.serving import LOCAL, Running, serving

Z = "clusterset.local"
SHOP = f"shop.prod.svc.{Z}"
MANY = f"many.prod.svc.{Z}"
VERY_MANY = f"very-many.prod.svc.{Z}"


def addresses(name: str, count: int) -> list[Record]:
    return [Record(name, Address(ip_address(0x0A000000 + n)), 5) for n in range(count)]


class Directory:
    """A zone, and how often it was asked."""

    def __init__(self) -> None:
        self.zone = Zone(Z, ttl=5, serial=1)
        self.zone.replace("shop", [*addresses(SHOP, 1), Record(f"_http._tcp.{SHOP}", Service(80, SHOP), 5)])
        self.zone.replace("many", addresses(MANY, 200))
        self.zone.replace("very many", addresses(VERY_MANY, 5000))
        self.asked: list[Question] = []

    def __call__(self, question: Question) -> Answer:
        self.asked.append(question)
        return self.zone.answer(question) or Answer(Rcode.REFUSED, authoritative=False)


@pytest.fixture(params=["in batches", "singly"], autouse=True)
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs with both ways to move datagrams: this system's, and any system's."""
    if request.param == "singly":
        monkeypatch.setattr(udp, "_libc", lambda: None)
    elif udp._libc() is None:
        pytest.skip("this system moves datagrams singly")


async def test_each_batch_is_timed() -> None:
    async with serving(Directory()) as running:
        for _ in range(3):
            await resolve(SHOP, Type.A, running.address)
        (took,) = [sample.value for sample in running.server.samples() if sample.metric is ROUNDS]
        assert isinstance(took, Durations)
        assert sum(took.counts) >= 3
        assert 0 < took.total < 3


async def dig(running: Running, *args: str) -> str:
    program = shutil.which("dig")
    if program is None:
        pytest.skip("no dig here. Type: apt-get install bind9-dnsutils")
    process = await asyncio.create_subprocess_exec(
        program, f"@{LOCAL}", "-p", str(running.port), *args, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode()


def short_of(output: str) -> list[str]:
    return output.split("\n")[:-1]


async def test_dig_gets_its_answer_over_udp_and_tcp() -> None:
    async with serving(Directory()) as running:
        for transport in ("+notcp", "+tcp"):
            assert short_of(await dig(running, "+short", transport, SHOP)) == ["10.0.0.0"]
            service = await dig(running, "+short", transport, "SRV", f"_http._tcp.{SHOP}")
            assert short_of(service) == [f"0 100 80 {SHOP}."]


@pytest.mark.requirement("MCS-106")
async def test_dig_goes_on_by_tcp_where_udp_is_too_small() -> None:
    async with serving(Directory()) as running:
        cut = await dig(running, "+ignore", MANY)
        assert " tc" in cut
        assert f"SERVER: {LOCAL}#{running.port}({LOCAL}) (UDP)" in cut
        assert len(short_of(await dig(running, "+short", MANY))) == 200
        reply = await resolve(VERY_MANY, Type.A, running.address)
        assert reply.truncated
        assert len(reply.answers) > 4000


async def test_dig_sees_what_is_not_there() -> None:
    async with serving(Directory()) as running:
        assert "status: NXDOMAIN" in await dig(running, f"nobody.prod.svc.{Z}")
        assert "status: REFUSED" in await dig(running, "example.com")
        assert "status: BADVERS" in await dig(running, "+edns=1", "+noednsnegotiation", SHOP)
        assert "status: NOTIMP" in await dig(running, "+opcode=notify", SHOP)
        assert "status: REFUSED" in await dig(running, "-c", "CH", "-t", "TXT", "version.bind")


async def test_no_answer_over_udp_is_longer_than_its_asker_takes() -> None:
    async with serving(Directory()) as running:
        for payload, most in ((0, 512), (512, 512), (900, 900), (4096, 1232)):
            query = dns.message.make_query(MANY, "A", use_edns=0 if payload else False, payload=payload or 512)
            reply = await exchange(query.to_wire(), running.address, seconds=5)
            assert most - 16 <= len(reply) <= most
            assert dns.message.from_wire(reply).flags & dns.flags.TC


async def test_the_same_question_is_put_to_the_handler_once_until_the_name_is_forgotten() -> None:
    directory = Directory()
    async with serving(directory) as running:
        query = dns.message.make_query(SHOP, "A").to_wire()
        first = [await exchange(query, running.address, seconds=5) for _ in range(3)]
        assert directory.asked == [Question(SHOP, Type.A)]
        assert len(set(first)) == 1
        running.server.forget(directory.zone.replace("shop", addresses(SHOP, 2)))
        reply = dns.message.from_wire(await exchange(query, running.address, seconds=5))
        assert len(reply.answer[0]) == 2
        running.server.forget_all()
        await exchange(query, running.address, seconds=5)
        assert len(directory.asked) == 3


@pytest.mark.requirement("MCS-100")
async def test_of_several_addresses_each_comes_first_in_its_turn() -> None:
    few = f"few.prod.svc.{Z}"
    directory = Directory()
    directory.zone.replace("few", addresses(few, 3))
    async with serving(directory) as running:
        replies = [await resolve(few, Type.A, (LOCAL, running.port)) for _ in range(6)]
    firsts = [reply.answers[0].data for reply in replies]
    assert len(set(firsts[:3])) == len(set(firsts[3:])) == 3
    assert all({record.data for record in reply.answers} == set(firsts) for reply in replies)


async def test_each_spelling_gets_its_own_back() -> None:
    async with serving(Directory()) as running:
        for name in (SHOP, SHOP.upper(), SHOP.title(), SHOP):
            query = dns.message.make_query(name, "A")
            reply = dns.message.from_wire(await exchange(query.to_wire(), running.address, seconds=5))
            assert reply.question[0].name.to_text() == reply.answer[0].name.to_text() == f"{name}."


async def test_many_at_once_each_get_their_own() -> None:
    async with serving(Directory()) as running:
        names = [SHOP, MANY, f"nobody.{Z}", "example.com", f"_http._tcp.{SHOP}"] * 60
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(resolve(name, Type.A, running.address, seconds=10)) for name in names]
        assert [task.result().question.name for task in asking] == names


async def test_a_flood_of_nonsense_leaves_the_server_well() -> None:
    chance = random.Random(7)
    good = dns.message.make_query(SHOP, "A", use_edns=0).to_wire()
    async with serving(Directory()) as running:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for n in range(2000):
                noise = chance.randbytes(chance.randrange(40))
                at = chance.randrange(len(good))
                sock.sendto(good[:at] + noise + good[at + chance.randrange(20) :], running.address)
                sock.sendto(chance.randbytes(n), running.address)
        assert (await resolve(SHOP, Type.A, running.address)).answers


async def test_answers_come_from_the_address_asked() -> None:
    hosts = ("127.0.0.1", "127.0.0.2", "::1")
    async with serving(Directory(), hosts=hosts) as running:
        for address in running.addresses:
            # The client takes answers only from the address that it asked.
            assert (await resolve(SHOP, Type.A, address)).answers
            query = dns.message.make_query(SHOP, "A").to_wire()
            assert await exchange(query, address, seconds=5, tcp=True)


async def test_what_is_not_known_here_is_forwarded_by_the_way_it_came() -> None:
    far = Directory()
    async with serving(far) as behind:
        async with serving(lambda _: Forward((behind.address,))) as running:
            assert short_of(await dig(running, "+short", SHOP.upper())) == ["10.0.0.0"]
            assert " tc" in await dig(running, "+ignore", MANY)
            assert len(short_of(await dig(running, "+short", MANY))) == 200
        assert far.asked[0] == Question(SHOP, Type.A)


async def test_a_forwarded_question_goes_to_the_next_server_when_one_is_silent_or_refuses() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, socket.socket() as closed:
        silent.bind((LOCAL, 0))
        closed.bind((LOCAL, 0))
        async with serving(Directory(), hosts=("::1",)) as behind:
            servers = (silent.getsockname(), closed.getsockname(), behind.address)
            async with serving(lambda _: Forward(servers, seconds=0.2), hosts=("::1",)) as running:
                assert (await resolve(SHOP, Type.A, running.address)).answers


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
async def test_when_nobody_answers_a_forwarded_question_it_has_failed(transport: str) -> None:
    with socket.socket() as closed:
        closed.bind((LOCAL, 0))
        async with serving(lambda _: Forward((closed.getsockname(),), seconds=0.2)) as running:
            assert "status: SERVFAIL" in await dig(running, transport, SHOP)
        async with serving(lambda _: Forward(())) as running:
            assert "status: SERVFAIL" in await dig(running, transport, SHOP)


async def test_a_server_that_ends_frees_its_ports() -> None:
    async with serving(Directory()) as running:
        address = running.address
        assert (await resolve(SHOP, Type.A, address)).answers
    with pytest.raises(Unreachable):
        await exchange(dns.message.make_query(SHOP, "A").to_wire(), address, seconds=5)
    for sock in bind([address]):
        sock.close()


def test_a_port_that_is_taken_is_named() -> None:
    taken = bind([(LOCAL, 0)])
    port = taken[0].getsockname()[1]
    with pytest.raises(Invalid, match=rf"{LOCAL} port {port}: .*give an address of this machine"):
        bind([(LOCAL, 0), (LOCAL, port)])
    for sock in taken:
        sock.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "not an address"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(Invalid, match="give an address of this machine"):
        bind([(host, 0)])
