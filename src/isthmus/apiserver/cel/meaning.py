"""What Kubernetes means by an expression where the CEL library means another thing, written into its syntax tree.

To Kubernetes a null has no members: `has()` is false of it, optional selection finds nothing. Macros may have two
variables. Fields of a custom resource whose format is a moment or a span are such to its rules.
"""

import re
from collections.abc import Mapping
from typing import Final

from isthmus.api.scheme import Manifest
from isthmus.apiserver.cel import tree
from isthmus.apiserver.cel.schemas import TIMES, escaped

_NULLS: Final = re.compile(r"\bhas\s*\(|\.\s*\?|\[\s*\?")
_TWO: Final = re.compile(
    r"\.\s*(all|exists|existsOne|exists_one|transformList|transformMap|transformMapEntry)\(\s*([a-zA-Z_]\w*)\s*,\s*([a-zA-Z_]\w*)\s*,"
)
# The macros with two variables, as functions that the library's checker may see: how much they take, what they give.
MACROS: Final[Mapping[str, tuple[tuple[int, ...], str]]] = {
    **dict.fromkeys(("all", "exists", "existsOne", "exists_one"), ((3,), "bool")),
    "transformList": ((3, 4), "list"),
    **dict.fromkeys(("transformMap", "transformMapEntry"), ((3, 4), "map")),
}
MERGED: Final = "@merged"
_OPTIONAL: Final = ("_?._", "_[?_]", "optional.of", "optional.none", "optional.ofNonZeroValue")
_SELECTIONS: Final = ("_?._", "_[?_]")
_INSIDE: Final = ("value", "orValue")
_RESULT, _EACH = "@result", "@each"

Scope = Mapping[str, Manifest | None]
Shape = Manifest | None


def pairs(text: str) -> list[str]:
    """The names that macros with two variables give to what they go through."""
    return [name for found in _TWO.finditer(text) for name in found.groups()[1:]]


def differs(text: str) -> bool:
    """Whether the library would take it otherwise than Kubernetes."""
    return bool(_NULLS.search(text) or _TWO.search(text))


def rewritten(serialized: bytes, schema: Shape) -> bytes:
    """A serialized expression with Kubernetes' meaning; `schema` is that of what its rule is about."""
    scope: Scope = {"self": schema, "oldSelf": schema, "oldSelves": {"items": schema}} if schema else {}
    return tree.rewritten(serialized, lambda root: _node(root, scope)[0])


def _node(node: bytes, scope: Scope) -> tuple[bytes, Shape]:
    """A node, and the schema of its value if that is known."""
    kind, fields = tree.opened(node)
    if kind == tree.IDENT:
        return _moment(node, scope.get(_text(fields, 1)))
    if kind == tree.SELECT:
        return _select(node, fields, scope)
    if kind == tree.CALL:
        return _call(node, fields, scope)
    if kind == tree.LOOP:
        return _loop(fields, scope)
    return tree.with_inner(node, lambda inner: _node(inner, scope)[0]), None


def _text(fields: tree.Fields, wanted: int) -> str:
    return next((value.decode() for name, value in fields if name == wanted and isinstance(value, bytes)), "")


def _below(shape: Shape, name: str | None = None) -> Shape:
    """The schema of a member of that name, or of any."""
    if shape is None:
        return None
    for own, below in (shape.get("properties") or {}).items():
        if name is not None and escaped(own) == name:
            found: Manifest = below
            return found
    inner = shape.get("additionalProperties") or (shape.get("items") if name is None else None)
    return inner if isinstance(inner, dict) else None


def _moment(node: bytes, shape: Shape) -> tuple[bytes, Shape]:
    """The value as what its format says."""
    written = (shape or {}).get("format")
    if written not in TIMES or (shape or {}).get("type") != "string":
        return node, shape
    return tree.call("duration" if written == "duration" else "timestamp", node), None


def _select(node: bytes, fields: tree.Fields, scope: Scope) -> tuple[bytes, Shape]:
    inner = dict(fields)[1]
    assert isinstance(inner, bytes)
    operand, shape = _node(inner, scope)
    if not any(name == 3 and value for name, value in fields):
        return _moment(tree.with_inner(node, lambda _: operand), _below(shape, _text(fields, 2)))
    asked = tree.with_inner(node, lambda _: tree.ident(_EACH))
    is_there = tree.either(_is_null(tree.ident(_EACH)), tree.FALSE, asked)
    return tree.bound(_EACH, operand, is_there), None


def _is_null(node: bytes) -> bytes:
    return tree.call("_==_", node, tree.NULL)


def _without_null(node: bytes) -> bytes:
    """What optional selection may be asked of: nothing in place of null."""
    each = tree.ident(_EACH)
    kind, fields = tree.opened(node)
    if kind == tree.CALL and _text(fields, 2) in _OPTIONAL:
        is_null = tree.call("_&&_", tree.call("hasValue", target=each), _is_null(tree.call("value", target=each)))
        return tree.bound(_EACH, node, tree.either(is_null, tree.call("optional.none"), each))
    return tree.bound(_EACH, node, tree.either(_is_null(each), tree.EMPTY_MAP, each))


def _call(node: bytes, fields: tree.Fields, scope: Scope) -> tuple[bytes, Shape]:
    function = _text(fields, 2)
    args = [value for name, value in fields if name == 3 and isinstance(value, bytes)]
    target = next((value for name, value in fields if name == 1 and isinstance(value, bytes)), None)
    if function in MACROS and target is not None and len(args) in MACROS[function][0]:
        return _pairs(function, target, args, scope), None
    if function in {*_SELECTIONS, "_[_]"}:
        first, shape = _node(args[0], scope)
        key, _ = _node(args[1], scope)
        below = _below(shape, _constant(args[1]) if function == "_?._" else None)
        if function == "_[_]":
            return _moment(_again(node, [first, key]), below)
        return _again(node, [_without_null(first), key]), below
    shape = _node(target, scope)[1] if target is not None and function in _INSIDE else None
    made = tree.with_inner(node, lambda inner: _node(inner, scope)[0])
    return _moment(made, shape) if function in _INSIDE else (made, None)


def _again(node: bytes, args: list[bytes]) -> bytes:
    """The call with other arguments."""
    remaining = iter(args)
    return tree.with_inner(node, lambda _: next(remaining))


def _constant(node: bytes) -> str:
    kind, fields = tree.opened(node)
    return _text(fields, 6) if kind == tree.CONSTANT else ""


def _loop(fields: tree.Fields, scope: Scope) -> tuple[bytes, Shape]:
    given = dict(fields)
    through, shape = _node(given[2], scope)  # type: ignore[arg-type]  # a node
    start, started = _node(given[4], scope)  # type: ignore[arg-type]  # a node
    # Who goes through a map sees its keys.
    each = shape.get("items") if shape else None
    inside = {**scope, _text(fields, 1): each, _text(fields, 3): started}
    made: tree.Fields = []
    for name, value in fields:
        # The condition, the step and the result see both variables; the result comes last.
        new, result = _node(value, inside) if name in {5, 6, 7} and isinstance(value, bytes) else (value, None)
        made.append((name, {2: through, 4: start}.get(name, new)))
    return tree.made(tree.LOOP, made), result


def _pairs(function: str, target: bytes, args: list[bytes], scope: Scope) -> bytes:
    """A macro with two variables: key and value of a map, place and item of a list."""
    through, shape = _node(target, scope)
    key, value = (_text(tree.opened(arg)[1], 1) for arg in args[:2])
    inside = {**scope, key: None, value: _below(shape)}
    *tests, said = (_node(arg, inside)[0] for arg in args[2:])
    result = tree.ident(_RESULT)
    goes_on, last, start = tree.TRUE, result, tree.TRUE
    if function == "all":
        goes_on, step = tree.call("@not_strictly_false", result), tree.call("_&&_", result, said)
    elif function == "exists":
        goes_on = tree.call("@not_strictly_false", tree.call("!_", result))
        start, step = tree.FALSE, tree.call("_||_", result, said)
    elif function.endswith("ne"):
        start, last = tree.whole(0), tree.call("_==_", result, tree.whole(1))
        step = tree.either(said, tree.call("_+_", result, tree.whole(1)), result)
    elif function == "transformList":
        start, step = tree.EMPTY_LIST, tree.call("_+_", result, tree.made(tree.LIST, [(1, said)]))
    else:
        entry = said if function.endswith("Entry") else _entry(tree.ident(key), said)
        start, step = tree.EMPTY_MAP, tree.call(MERGED, result, entry)
    for test in tests:
        step = tree.either(test, step, result)
    names: tree.Fields = [(1, key.encode()), (3, _RESULT.encode()), (8, value.encode())]
    return tree.made(tree.LOOP, [*names, (2, through), (4, start), (5, goes_on), (6, step), (7, last)])


def _entry(key: bytes, value: bytes) -> bytes:
    """A map of one."""
    return tree.made(tree.STRUCT, [(2, tree.message_of([(3, key), (4, value)]))])
