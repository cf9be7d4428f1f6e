"""What an expression may use, what is told of one that cannot be, and that none keeps the server from its work."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from isthmus.apiserver.cel.engine import BadExpression, EvaluationError, compile_expression
from isthmus.apiserver.cel.library import ORACLE

OBJECT = {"object": "dyn"}
# Half a second of processor time each, on a machine that does other things too.
SOON = 30.0


def value(text: str, obj: object = None, **more: object) -> object:
    kinds = {**OBJECT, **dict.fromkeys(more, "map")}
    return compile_expression(text, kinds).evaluate({"object": obj, **more})


@dataclass
class Register:
    """Knows who may do what, and what it was asked."""

    allowed: Mapping[str, bool]
    asked: list[tuple[str, str]] = field(default_factory=list)

    def allows(self, question: Mapping[str, str], verb: str) -> tuple[bool, str]:
        self.asked.append((question["resource"], verb))
        return self.allowed.get(question["resource"], False), "as the register says"


@pytest.mark.parametrize(
    ("text", "obj", "want"),
    [
        pytest.param("object.a + 1 == 3", {"a": 2}, True, id="whole numbers stay whole"),
        pytest.param("object.a > 2", {"a": 2.5}, True, id="numbers of different types compare"),
        pytest.param("object.?b.?c.orValue('none')", {"a": 1}, "none", id="what is not there is optional"),
        pytest.param("object == null", None, True, id="null"),
        pytest.param("has(object.a) || object.?a.?b.hasValue()", None, False, id="a null has no members"),
        pytest.param("object.?a.?b.hasValue()", {"a": None}, False, id="nor has one inside"),
        pytest.param("object.all(k, v, k + v == 'ab')", {"a": "b"}, True, id="macros with two variables"),
        pytest.param("object.transformMap(i, v, i > 0, v)", ["a", "b"], {1: "b"}, id="macros that make maps"),
        pytest.param("object.l.filter(x, x > 1).size()", {"l": [1, 2, 3]}, 2, id="macros"),
        pytest.param("quantity('1Gi').compareTo(quantity(object))", "1024Mi", 0, id="quantities"),
        pytest.param("cidr('10.0.0.0/8').containsIP(object)", "10.1.2.3", True, id="addresses"),
    ],
)
def test_expressions_have_values(text: str, obj: object, want: object) -> None:
    assert value(text, obj) == want


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("object.b", "no such key: b", id="no such key"),
        pytest.param("object.l[7] == 1", "index out of bounds: 7", id="beyond the list"),
        pytest.param("1 / object.zero == 1", "division by zero", id="division by zero"),
        pytest.param("object.l + 'a' == 'a'", "no such overload", id="types that do not fit"),
        pytest.param("quantity('many') == quantity('1')", "quantities must match", id="functions say what they miss"),
    ],
)
def test_what_comes_to_nothing_is_told_in_kubernetes_words(text: str, told: str) -> None:
    with pytest.raises(EvaluationError, match=told):
        value(text, {"l": [1], "zero": 0})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("object.", "ERROR: <input>:1:8: Syntax error", id="the place is told"),
        pytest.param("nobody == 1", "undeclared reference to 'nobody'", id="unknown names"),
        pytest.param("(" * 40 + "1" + ")" * 40, "recursion", id="nested deeply"),
        pytest.param("1" + " + 1" * 500, "recursion", id="a long chain"),
        pytest.param("'" + "a" * 200_000 + "'", "size exceeds", id="very long"),
    ],
)
def test_what_is_no_expression_is_refused(text: str, told: str) -> None:
    with pytest.raises(BadExpression, match=told):
        compile_expression(text, OBJECT)


BIG = "a" * 1_000_000


@pytest.mark.parametrize(
    ("text", "obj"),
    [
        pytest.param("object.all(x, object.all(y, object.all(z, true)))", list(range(100)), id="rounds within rounds"),
        pytest.param(
            "object.l.all(x, !object.big.contains('ab'))", {"l": list(range(9000)), "big": BIG}, id="much text"
        ),
        pytest.param("object.replace('a', object).size() > 1", "a" * 50_000, id="a text that explodes"),
        pytest.param("lists.range(9999).size() == 1", None, id="a list out of nothing"),
        pytest.param(
            "[object]" + ".map(x, x + x + x + x)" * 12 + ".size() == 1", "a" * 1000, id="a text that grows and grows"
        ),
    ],
)
def test_an_expression_that_takes_too_much_is_cut_off(text: str, obj: object) -> None:
    started = time.monotonic()
    with pytest.raises(EvaluationError, match="operation cancelled: actual cost limit exceeded"):
        value(text, obj)
    assert time.monotonic() - started < SOON
    assert value("object.size() == 1", "a"), "the next one is evaluated"


@pytest.mark.parametrize("obj", [[1], list(range(9000))], ids=["here", "in a process of its own"])
def test_the_authorizer_is_asked_wherever_an_expression_is_evaluated(obj: list[int]) -> None:
    register = Register({"pods": True})
    ORACLE.set(register)
    asking = "authorizer.group('').resource('{}').check('get').allowed()"
    text = f"object.all(x, x >= 0) && {asking.format('pods')} && !{asking.format('secrets')}"
    assert value(text, obj, authorizer={"@": "Authorizer"}) is True
    assert register.asked == [("pods", "get"), ("secrets", "get")]


def test_a_large_object_changes_nothing_of_what_is_true() -> None:
    obj = {"l": list(range(9000)), "big": BIG, "raw": b"\x01\xff", "real": 1.0, "none": None}
    text = "object.l.exists(x, x == 8999) && object.raw == b'\\x01\\xff' && object.real == 1.0 && object.none == null"
    assert value(text, obj) is True
