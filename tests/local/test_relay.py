"""Who is led where, and for how long."""

from isthmus.kit.clock import FakeClock
from isthmus.local.relay import Led
from isthmus.local.rules.routes import Backend, Route

A, B, C = (Backend(f"10.1.0.{number}", 8080) for number in (1, 2, 3))


def route(*backends: Backend, seconds: int = 10) -> Route:
    return Route("prod/shop", "TCP", "10.1.128.7", 80, seconds, backends)


async def test_a_client_stays_while_it_comes_in_time_and_no_longer() -> None:
    clock = FakeClock()
    led = Led(clock)
    assert led.to("10.9.9.1", route(A, B)) == A
    for _ in range(5):
        await clock.advance(9)
        assert led.to("10.9.9.1", route(A, B)) == A
    await clock.advance(11)
    assert led.to("10.9.9.1", route(A, B)) == B


def test_clients_are_spread_over_all_backends() -> None:
    led = Led(FakeClock())
    assert {led.to(f"10.9.9.{number}", route(A, B, C)) for number in range(9)} == {A, B, C}


def test_who_loses_its_backend_gets_another_and_nobody_else_moves() -> None:
    led = Led(FakeClock())
    before = {client: led.to(client, route(A, B, C)) for client in ("one", "two", "three")}
    after = {client: led.to(client, route(A, B)) for client in before}
    assert all(after[client] == before[client] for client in before if before[client] != C)
    assert C not in after.values()


def test_a_client_that_was_served_elsewhere_stays_there() -> None:
    led = Led(FakeClock())
    assert led.to("one", route(A, B)) == A
    led.remember("one", B)
    assert led.to("one", route(A, B)) == B
