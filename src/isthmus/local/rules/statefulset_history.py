"""A StatefulSet's history: every template it had, so that `kubectl rollout undo` can bring it back."""

from collections.abc import Sequence

import msgspec

from isthmus.api.apps import ControllerRevision, StatefulSet
from isthmus.api.scheme import Manifest
from isthmus.local.rules.ownership import owner_reference
from isthmus.local.rules.statefulset import revision_name

_HISTORY_LIMIT = 10


def wanted_revision(stateful_set: StatefulSet, seen: Sequence[ControllerRevision]) -> Manifest:
    """The revision of the template as it is now: the newest, also when it was there before."""
    name = revision_name(stateful_set)
    others = max((each.revision for each in seen if each.metadata.name != name), default=0)
    own = next((each.revision for each in seen if each.metadata.name == name), 0)
    template: Manifest = {**stateful_set.spec.template, "$patch": "replace"}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "namespace": stateful_set.metadata.namespace,
            "labels": stateful_set.spec.selector.match_labels,
            "ownerReferences": [msgspec.to_builtins(owner_reference(stateful_set, kind="StatefulSet"))],
        },
        "data": {"spec": {"template": template}},
        "revision": max(own, others + 1),
    }


def outdated_revisions(stateful_set: StatefulSet, seen: Sequence[ControllerRevision]) -> tuple[ControllerRevision, ...]:
    """The oldest revisions beyond the limit, except those that pods may still be of."""
    limit = stateful_set.spec.revision_history_limit
    used = {revision_name(stateful_set), stateful_set.status.current_revision}
    unused = sorted((each for each in seen if each.metadata.name not in used), key=lambda each: each.revision)
    return tuple(unused[: max(0, len(unused) - (_HISTORY_LIMIT if limit is None else limit))])
