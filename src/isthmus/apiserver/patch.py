"""Patches of the three kinds that Kubernetes takes: JSON merge, JSON, strategic merge.

RFC 7386, RFC 6902, and sig-api-machinery's strategic merge patch with its `$` directives.
Nothing here changes its arguments.
"""

import copy
import json
from collections.abc import Iterable, Mapping, Sequence

import jsonpatch

from isthmus.api.scheme import Manifest
from isthmus.apiserver.causes import go_value
from isthmus.apiserver.schema import Schema
from isthmus.errors import Refused

MAX_OPERATIONS = 10_000
MAX_DEPTH = 128
# Bytes that the copies of one JSON patch may add up to, as in kube-apiserver.
MAX_COPIED = 3 * 1024 * 1024
TOO_DEEP = f"error decoding patch: nested deeper than {MAX_DEPTH}"
PATCH_ERRORS = (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, ValueError, RecursionError)


def merge_patch(live: Manifest, patch: object) -> Manifest:
    """`live` with a JSON merge patch laid over it: null removes, objects merge, the rest replaces."""
    return _merged(live, _object(patch))


def _object(patch: object) -> Manifest:
    if not isinstance(patch, dict):
        raise _bad("error decoding patch: a JSON object is expected")
    if _is_deep(patch):
        raise _bad(TOO_DEEP)
    return patch


def _is_deep(value: object) -> bool:
    """Whether a value is nested deeper than MAX_DEPTH; found without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, (dict, list))]
        level = [child for children in below for child in children]
    return bool(level)


def _merged(live: object, patch: Manifest) -> Manifest:
    out: Manifest = dict(live) if isinstance(live, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict):
            out[key] = _merged(out.get(key), value)
        else:
            out[key] = copy.deepcopy(value)
    return out


def json_patch(live: Manifest, operations: object) -> Manifest:
    """`live` after the operations of a JSON patch.

    Raises Refused: 400 for what is no patch, 500 (as Kubernetes) for directives that make no sense, 415
    where the kind, a custom resource, has no merge keys.
    """
    if not isinstance(operations, list) or not all(isinstance(item, dict) for item in operations):
        raise _bad("error decoding patch: a JSON array of operations is expected")
    if len(operations) > MAX_OPERATIONS:
        message = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        raise Refused(code=413, reason="RequestEntityTooLarge", message=message)
    try:
        patched = _operated(copy.deepcopy(live), operations)
    except PATCH_ERRORS as error:
        # Kubernetes does not say which operation failed.
        message = "the server rejected our request due to an error in our request"
        raise Refused(code=422, reason="Invalid", message=message) from error
    return _object(patched)


def _operated(document: object, operations: list[Manifest]) -> object:
    copied = 0
    for operation in operations:
        if operation.get("op") == "copy":
            # A few copies of the document into itself would outgrow any memory.
            copied += len(json.dumps(jsonpatch.JsonPointer(str(operation.get("from"))).resolve(document)))
        if copied > MAX_COPIED:
            raise Refused(code=413, reason="RequestEntityTooLarge", message="the JSON patch copies too much")
        # RFC 6902 refuses to replace a member that is not there; Kubernetes sets it.
        lenient = operation.get("op") == "replace" and not _exists(document, str(operation.get("path")))
        steps = [{**operation, "op": "add"}] if lenient else [operation]
        document = jsonpatch.JsonPatch(steps).apply(document, in_place=True)
    return document


def _exists(document: object, pointer: str) -> bool:
    """Whether the member is there; true for items of lists, where there is nothing to be lenient about."""
    parent, part = jsonpatch.JsonPointer(pointer).to_last(document)
    return not isinstance(parent, dict) or part in parent


def _bad(message: str) -> Refused:
    return Refused(code=400, reason="BadRequest", message=message)


def _fault(message: str) -> Refused:
    # Kubernetes takes the blame for patches whose directives make no sense.
    return Refused(code=500, reason="", message=message)


DIRECTIVE = "$patch"
DELETE_FROM = "$deleteFromPrimitiveList/"
ORDER = "$setElementOrder/"
RETAIN = "$retainKeys"


def strategic_merge_patch(live: Manifest, patch: object, schema: Schema | None) -> Manifest:
    """`live` with a strategic merge patch laid over it: lists merge by the schema's merge keys.

    Raises Refused: 400 for what is no patch, 500 (as Kubernetes) for directives that make no sense, 415
    where the kind, a custom resource, has no merge keys.
    """
    if schema is None:
        message = (
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        )
        raise Refused(code=415, reason="UnsupportedMediaType", message=message)
    return _merge_map(copy.deepcopy(live), copy.deepcopy(_object(patch)), schema)


def _merge_map(live: Manifest, patch: Manifest, schema: Schema | None) -> Manifest:
    if DIRECTIVE in patch:
        return _directed(patch)
    _retain(live, patch)
    _set_orders(live, patch, schema)
    for key, value in patch.items():
        if key.startswith(DELETE_FROM):
            _delete_from(live, key.removeprefix(DELETE_FROM), value)
        elif value is None:
            live.pop(key, None)
        else:
            live[key] = _merge_value(live.get(key), value, _child(schema, key))
            if live[key] is None:
                del live[key]
    return live


def _directed(patch: Manifest) -> Manifest:
    directive = patch[DIRECTIVE]
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != DIRECTIVE}
    if directive == "delete":
        return {}
    raise _fault(f"unknown patch type: {directive} in map: {go_value(patch)}")


def _child(schema: Schema | None, key: str) -> Schema | None:
    return None if schema is None else schema.child(key)


def _merge_value(live: object, value: object, schema: Schema | None) -> object:
    """The merged value; None where a directive removed it."""
    strategy = schema.patch_strategy if schema is not None else ()
    if isinstance(live, dict) and isinstance(value, dict):
        return _merge_map(live, value, schema)
    if isinstance(live, list) and isinstance(value, list):
        return _merge_list(live, value, schema) if "merge" in strategy else value
    return _without_directives(value)


def _without_directives(value: object) -> object:
    """A new value as it will stand: nulls and directives gone; None if it is one itself."""
    if isinstance(value, dict):
        if DIRECTIVE in value:
            return None
        cleaned = {key: _without_directives(item) for key, item in value.items() if item is not None}
        return {key: item for key, item in cleaned.items() if item is not None}
    if isinstance(value, list):
        return [item for item in map(_without_directives, value) if item is not None]
    return value


def _delete_from(live: Manifest, key: str, gone: object) -> None:
    if not isinstance(gone, list):
        raise _fault("invalid patch format of primitive list")
    if isinstance(live.get(key), list):
        live[key] = [item for item in live[key] if item not in gone]


def _retain(live: Manifest, patch: Manifest) -> None:
    if RETAIN not in patch:
        return
    kept = patch.pop(RETAIN)
    named = isinstance(kept, list) and all(
        key in kept for key, value in patch.items() if value is not None and not key.startswith("$")
    )
    if not named:
        raise _fault("invalid patch format of retainKeys")
    for key in [key for key in live if key not in kept]:
        del live[key]


def _merge_list(live: list[object], patch: list[object], schema: Schema | None) -> list[object]:
    first = next(iter([*live, *patch]), None)
    if not isinstance(first, dict):
        return _ordered(_unique([*live, *patch]), patch, live, "")
    key, items = _merge_key(schema), schema.items if schema is not None else None
    before, out = list(live), list(live)
    wanted = [item for item in patch if not (isinstance(item, dict) and DIRECTIVE in item)]
    for item in patch:
        directive = item.get(DIRECTIVE, "") if isinstance(item, dict) else ""
        if directive == "replace":
            return wanted
        if directive == "delete":
            gone = _key_value(item, key)
            out = [other for other in out if _key_value(other, key) != gone]
        elif directive:
            raise _fault(f"unknown patch type: {directive} in map: {go_value(item)}")
    for item in wanted:
        value = _key_value(item, key)
        at = next((index for index, other in enumerate(out) if _key_value(other, key) == value), None)
        if at is None:
            out.append(_without_directives(item))
        else:
            out[at] = _merge_value(out[at], item, items)
    return _ordered(out, wanted, before, key)


def _unique(items: Iterable[object]) -> list[object]:
    out: list[object] = []
    for item in items:
        if item not in out:
            out.append(item)
    return out


def _merge_key(schema: Schema | None) -> str:
    if schema is None or not schema.patch_key:
        raise _fault("cannot merge lists without merge key")
    return schema.patch_key


def _key_value(item: object, key: str) -> object:
    if not isinstance(item, Mapping) or key not in item:
        raise _fault(f"map: {go_value(item)} does not contain declared merge key: {key}")
    return item[key]


def _set_orders(live: Manifest, patch: Manifest, schema: Schema | None) -> None:
    """Merge the lists whose order the patch sets, and put them into that order."""
    for directive in [key for key in patch if key.startswith(ORDER)]:
        key, order = directive.removeprefix(ORDER), patch.pop(directive)
        if not isinstance(order, list):
            raise _fault("invalid patch format of setElementOrder list")
        known = _child(schema, key)
        mine = known.patch_key if known is not None else ""
        sent = patch.pop(key, None)
        if sent is not None:
            _check_order(sent, order, mine)
        before = live.get(key)
        if sent is None and before is None:
            continue
        combined = before if sent is None else _merge_value(before, sent, known)
        live[key] = _ordered(combined, order, before, mine)


def _identity(item: object, key: str) -> object:
    return _key_value(item, key) if key else item


def _check_order(sent: object, order: Sequence[object], key: str) -> None:
    wanted = [_identity(item, key) for item in order]
    if not isinstance(sent, list):
        raise _fault("invalid patch format of setElementOrder list")
    given = [_identity(item, key) for item in sent if not (isinstance(item, dict) and DIRECTIVE in item)]
    left = iter(wanted)
    if order and not all(item in left for item in given):
        raise _fault(
            f"The order in patch list:\n{go_value(sent)}\n doesn't match {ORDER[:-1]} list:\n{go_value(order)}\n"
        )


def _ordered(items: object, order: Sequence[object], before: object, key: str) -> list[object]:
    """Items that the patch names in its order, the server's own in theirs, merged by their old places."""
    if not isinstance(items, list):
        raise _fault("invalid patch format of setElementOrder list")
    wanted = [_identity(item, key) for item in order]
    named = sorted(
        (item for item in items if _identity(item, key) in wanted),
        key=lambda item: wanted.index(_identity(item, key)),
    )
    others = [item for item in items if _identity(item, key) not in wanted]
    places = [_identity(item, key) for item in before] if isinstance(before, list) else []
    out: list[object] = []
    while named and others:
        left, right = (_identity(each[0], key) for each in (named, others))
        # A server's item goes first only if it stood before the named one.
        ahead = left in places and right in places and places.index(right) < places.index(left)
        out.append(others.pop(0) if ahead else named.pop(0))
    return out + named + others
