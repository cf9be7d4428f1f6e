"""Kept answers are found by the octets of the question, and forgotten by name."""

import ctypes

from isthmus.kit.dns import kept
from isthmus.kit.dns.kept import Kept, body


def test_a_body_knows_where_it_stands() -> None:
    told = body(b"\x12\x34answer")
    assert ctypes.string_at(told.address, told.size) == told.octets == b"answer"


def test_an_answer_is_found_whatever_the_id() -> None:
    shelf = Kept()
    shelf.put("shop", b"\1\1question", body(b"\1\1answer"))
    assert shelf.bodies[b"\2\2question"[2:]].octets == b"answer"


def test_to_forget_a_name_is_to_forget_all_its_questions_and_no_others() -> None:
    shelf = Kept()
    shelf.put("shop", b"..shop A", body(b"..1"))
    shelf.put("shop", b"..SHOP A", body(b"..1"))
    shelf.put("cart", b"..cart A", body(b"..2"))
    shelf.forget(["shop", "never asked"])
    assert list(shelf.bodies) == [b"cart A"]


def test_who_asks_for_very_much_does_not_fill_the_memory() -> None:
    shelf = Kept()
    for n in range(3 * kept._MOST):
        shelf.put(str(n), b"..%d" % n, body(b"..x"))
    assert 0 < len(shelf.bodies) <= kept._MOST
    shelf.put("long", b"." * 1000, body(b"..x"))
    assert b"." * 998 not in shelf.bodies
    shelf.clear()
    assert not shelf.bodies
