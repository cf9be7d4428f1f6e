"""Two objects of one schema: what differs between them, and what one laid over the other gives.

The rules are those of server-side apply (KEP-555, "structured merge and diff").
"""

from dataclasses import dataclass, field

from isthmus.api.scheme import Manifest
from isthmus.apiserver.fieldset import Path, below, fields_of, grouped, is_atomic, items_of, list_element
from isthmus.apiserver.schema import MISSING, Schema


@dataclass
class Difference:
    """The fields that came, changed and went from one object to the other."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)


def difference(before: object, after: object, schema: Schema | None) -> Difference:
    """What changed from `before` to `after`, field by field."""
    found = Difference()
    _compare(found, (), before, after, schema)
    return found


def _shape(value: object) -> type:
    return dict if isinstance(value, dict) else list if isinstance(value, list) else object


def _compare(found: Difference, path: Path, before: object, after: object, schema: Schema | None) -> None:
    shapes = {_shape(value) for value in (before, after) if not (value is MISSING or value is None)}
    if len(shapes) == 2:
        # Only where the schema leaves the type open: one field, and two sets of fields below it.
        found.modified.add(path)
        found.removed.update((*path, *rest) for rest in fields_of(before, schema) if rest)
        found.added.update((*path, *rest) for rest in fields_of(after, schema) if rest)
        return
    if shapes <= {object} or _is_leaf(before, after, schema):
        if not same(before, after):
            found.modified.update(() if before is MISSING or after is MISSING else (path,))
    elif shapes == {dict}:
        _compare_maps(found, path, before, after, schema)
    else:
        _compare_lists(found, path, before, after, schema)
    if before is MISSING:
        found.added.add(path)
    elif after is MISSING:
        found.removed.add(path)


def _is_leaf(before: object, after: object, schema: Schema | None) -> bool:
    # Two that are empty, null or absent are a leaf: null and {} are told apart.
    if (before is MISSING or not before) and (after is MISSING or not after):
        return True
    return is_atomic(after if isinstance(after, (dict, list)) else before, schema)


def same(left: object, right: object) -> bool:
    """Equality of JSON values: true is not 1, though Python thinks so."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _compare_maps(found: Difference, path: Path, lhs: object, rhs: object, schema: Schema | None) -> None:
    before: Manifest = lhs if isinstance(lhs, dict) else {}
    after: Manifest = rhs if isinstance(rhs, dict) else {}
    for key in before.keys() | after.keys():
        known, _ = below(schema, key)
        _compare(found, (*path, f"f:{key}"), before.get(key, MISSING), after.get(key, MISSING), known)


def _compare_lists(found: Difference, path: Path, lhs: object, rhs: object, schema: Schema | None) -> None:
    before = grouped(lhs if isinstance(lhs, list) else (), schema)
    after = grouped(rhs if isinstance(rhs, list) else (), schema)
    for element in before.keys() | after.keys():
        where = (*path, element)
        left, right = before.get(element, []), after.get(element, [])
        if len(left) > 1 and len(right) > 1:
            found.modified.update(() if same(left, right) else {where})
            continue
        # Items that repeat are owned as one leaf; only a lone item is looked into.
        if len(left) > 1:
            found.removed.add(where)
        elif len(right) > 1:
            found.added.add(where)
        one, two = _lone(left), _lone(right)
        if one is not MISSING or two is not MISSING:
            _compare(found, where, one, two, items_of(schema))


def _lone(items: list[object]) -> object:
    return items[0] if len(items) == 1 else MISSING


def merged(live: object, applied: object, schema: Schema | None) -> object:
    """`applied` laid over `live`: maps by key, keyed lists and sets by item, everything else replaced."""
    if applied is MISSING:
        return live
    if live is MISSING or type(live) is not type(applied) or not applied or is_atomic(applied, schema):
        return _over_empty(live, applied, schema)
    if isinstance(live, dict) and isinstance(applied, dict):
        return {
            key: merged(live.get(key, MISSING), applied.get(key, MISSING), below(schema, key)[0])
            for key in [*live, *(key for key in applied if key not in live)]
        }
    if isinstance(live, list) and isinstance(applied, list):
        return _merged_lists(live, applied, schema)
    return applied


def _over_empty(live: object, applied: object, schema: Schema | None) -> object:
    # An empty or null map or list adds nothing to one that is granular and has content.
    granular = isinstance(live, (dict, list)) and live and not is_atomic(live, schema)
    if granular and not applied and (applied is None or type(applied) is type(live)):
        return live
    return applied


def _merged_lists(live: list[object], applied: list[object], schema: Schema | None) -> list[object]:
    """The order: that of `applied` for its items, the others keep their places among them."""
    ours = [list_element(item, schema) for item in applied]
    wanted = dict(zip(ours, applied, strict=True))
    theirs = [list_element(item, schema) for item in live]
    seen = {element: MISSING if theirs.count(element) > 1 else item for element, item in zip(theirs, live, strict=True)}
    shared = [element for element in ours if element in seen]
    out: list[object] = []
    done: set[str] = set()

    def take(element: str) -> None:
        done.add(element)
        out.append(merged(seen.get(element, MISSING), wanted[element], items_of(schema)))

    left, right = 0, 0
    while left < len(theirs) or right < len(ours):
        if left < len(theirs) and right < len(ours):
            if theirs[left] == ours[right]:
                take(ours[right])
                shared = shared[1:]
                left, right = left + 1, right + 1
                continue
            if theirs[left] in wanted and shared and shared[0] != theirs[left]:
                left += 1
                continue
        if left < len(theirs):
            if theirs[left] not in wanted:
                out.append(live[left])
                left += 1
                continue
            if theirs[left] in done:
                left += 1
        if right < len(ours):
            take(ours[right])
            shared = shared[1:] if shared and shared[0] == ours[right] else shared
            right += 1
    return out
