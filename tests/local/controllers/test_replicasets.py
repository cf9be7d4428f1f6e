from isthmus.api.apps import REPLICA_SETS, ReplicaSet
from isthmus.api.core import PODS
from isthmus.api.scheme import Manifest
from tests.local.conftest import Around, eventually


async def make(around: Around, replicas: int = 3) -> ReplicaSet:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return await around.make(REPLICA_SETS, {"metadata": {"name": "web"}, "spec": spec})


async def pods(around: Around) -> list[Manifest]:
    listed = (await around.client.list(PODS, namespace=around.namespace)).items
    return [pod for pod in listed if "deletionTimestamp" not in pod["metadata"]]


async def wait_ready(around: Around, replicas: int) -> None:
    async def is_ready() -> bool:
        status = (await around.client.get(REPLICA_SETS, "web", namespace=around.namespace)).status
        return (status.replicas, status.ready_replicas) == (replicas,) * 2 and len(await pods(around)) == replicas

    await eventually(is_ready)


async def test_it_makes_as_many_pods_as_wanted_and_never_more(around: Around) -> None:
    most = 0
    seen = around.informer(PODS)

    def count(_: object) -> None:
        nonlocal most
        most = max(most, len(seen.store.all(around.namespace)))

    seen.subscribe(count)
    await make(around, 20)
    await wait_ready(around, 20)
    assert most == 20
    await around.client.merge_patch(REPLICA_SETS, "web", {"spec": {"replicas": 2}}, namespace=around.namespace)
    await wait_ready(around, 2)


async def test_a_pod_that_is_deleted_is_replaced(around: Around) -> None:
    await make(around)
    await wait_ready(around, 3)
    victim = (await pods(around))[0]["metadata"]
    await around.client.delete(PODS, victim["name"], namespace=around.namespace)

    async def is_replaced() -> bool:
        uids = {pod["metadata"]["uid"] for pod in await pods(around)}
        return len(uids) == 3 and victim["uid"] not in uids

    await eventually(is_replaced)


async def test_the_pod_that_is_not_ready_goes_first(around: Around) -> None:
    await make(around)
    await wait_ready(around, 3)
    sick = (await pods(around))[1]["metadata"]["name"]
    conditions = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    await around.client.merge_patch(PODS, sick, conditions, namespace=around.namespace, subresource="status")

    async def is_known() -> bool:
        return (await around.client.get(REPLICA_SETS, "web", namespace=around.namespace)).status.ready_replicas == 2

    await eventually(is_known)
    await around.client.merge_patch(REPLICA_SETS, "web", {"spec": {"replicas": 2}}, namespace=around.namespace)
    await wait_ready(around, 2)
    assert sick not in {pod["metadata"]["name"] for pod in await pods(around)}


async def test_an_orphan_is_adopted_and_a_relabelled_pod_let_go(around: Around) -> None:
    orphan = {"metadata": {"name": "orphan", "labels": {"app": "web"}}}
    await around.make(PODS, {**orphan, "spec": {"containers": [{"name": "c", "image": "x"}]}})
    made = await make(around, 2)
    await wait_ready(around, 2)
    adopted = await around.client.get(PODS, "orphan", namespace=around.namespace)
    assert adopted["metadata"]["ownerReferences"][0]["uid"] == made.metadata.uid
    patch = {"metadata": {"labels": {"app": "other"}}}
    await around.client.merge_patch(PODS, "orphan", patch, namespace=around.namespace)

    async def is_released_and_replaced() -> bool:
        free = await around.client.get(PODS, "orphan", namespace=around.namespace)
        return "ownerReferences" not in free["metadata"] and len(await pods(around)) == 3

    await eventually(is_released_and_replaced)
