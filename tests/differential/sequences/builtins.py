"""Built-in objects, good and bad: taken, filled in and refused, made on trial and changed for good."""

from isthmus.api.scheme import Manifest
from tests.apiserver import examples
from tests.differential.steps import Sequence, Step, patch, post, sequence

GROUPS = (
    examples.services,
    examples.metadata,
    examples.stored_data,
    examples.pods,
    examples.containers,
    examples.workloads,
    examples.slices,
    examples.others,
)
MADE = tuple(
    sequence(
        f"made on trial: {group.__name__.replace('_', ' ')}",
        *(post(f"{examples.path(obj, '${ns}')}?dryRun=All", obj, loose=True) for obj in group()),
    )
    for group in GROUPS
)

REVISION = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "r"}, "data": {"a": 1}}
IMMUTABLE = {**examples.named("x"), "immutable": True, "data": {"a": "b"}}
CHANGES: tuple[tuple[Manifest, Manifest], ...] = (
    (examples.workload(), {"spec": {"selector": {"matchLabels": {"x": "y"}}}}),
    (examples.workload("StatefulSet"), {"spec": {"serviceName": "x"}}),
    (examples.workload("StatefulSet"), {"spec": {"replicas": 3}}),
    (examples.endpoint_slice(), {"addressType": "IPv6"}),
    (IMMUTABLE, {"data": {"a": "c"}}),
    (IMMUTABLE, {"immutable": None}),
    (examples.named("x", "Secret"), {"type": "x"}),
    (examples.pod(), {"spec": {"activeDeadlineSeconds": 5}}),
    (examples.pod(activeDeadlineSeconds=5), {"spec": {"activeDeadlineSeconds": 7}}),
    (examples.pod(activeDeadlineSeconds=5), {"spec": {"activeDeadlineSeconds": None}}),
    (examples.service(), {"spec": {"type": "ExternalName"}}),
    (examples.service(), {"spec": {"ports": [{"port": 81}]}}),
    (REVISION, {"data": {"a": 2}}),
)


def changed(number: int, obj: Manifest, change: Manifest) -> tuple[Step, ...]:
    """An object of its own, and the change."""
    path, name = examples.path(obj, "${ns}"), f"o{number}"
    made = {**obj, "metadata": {**obj["metadata"], "name": name}}
    return (post(path, made, loose=True), patch(f"{path}/{name}", change, loose=True))


CHANGED = sequence(
    "what may be changed later",
    *(step for number, (obj, change) in enumerate(CHANGES) for step in changed(number, obj, change)),
)

SEQUENCES: tuple[Sequence, ...] = (*MADE, CHANGED)
