import pytest

from isthmus.api.apps import STATEFUL_SETS
from isthmus.api.core import PODS
from isthmus.api.scheme import Manifest
from isthmus.kube.informer import Change
from tests.conftest import EMBEDDED
from tests.local.conftest import Around, eventually, kubectl


def template(image: str, **annotations: str | None) -> Manifest:
    metadata = {"labels": {"app": "db"}, "annotations": annotations}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", "image": image}]}}


async def make(around: Around, **spec: object) -> None:
    wanted = {
        "replicas": 3,
        "serviceName": "data",
        "selector": {"matchLabels": {"app": "db"}},
        "template": template("one"),
        **spec,
    }
    await around.make(STATEFUL_SETS, {"metadata": {"name": "db"}, "spec": wanted})


async def change(around: Around, **spec: object) -> None:
    await around.client.merge_patch(STATEFUL_SETS, "db", {"spec": spec}, namespace=around.namespace)


async def wait_images(around: Around, **wanted: str) -> None:
    async def are_as_wanted() -> bool:
        status = (await around.client.get(STATEFUL_SETS, "db", namespace=around.namespace)).status
        pods = (await around.client.list(PODS, namespace=around.namespace)).items
        found = {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in pods}
        names = {name.replace("_", "-"): image for name, image in wanted.items()}
        return found == names and status.ready_replicas == len(wanted)

    await eventually(are_as_wanted)


def name_in(pod: Manifest | None, namespace: str) -> str:
    """The pod's name; empty for none, or one of elsewhere."""
    return str(pod["metadata"]["name"]) if pod and pod["metadata"]["namespace"] == namespace else ""


async def test_pods_come_in_order_and_go_in_reverse(around: Around) -> None:
    order: list[str] = []
    gone: list[str] = []

    def note(change: Change[Manifest]) -> None:
        before, after = name_in(change.before, around.namespace), name_in(change.after, around.namespace)
        if after and not before:
            order.append(after)
        if before and not after:
            gone.append(before)

    around.informer(PODS).subscribe(note)
    await make(around)
    await wait_images(around, db_0="one", db_1="one", db_2="one")
    assert order == ["db-0", "db-1", "db-2"]
    await change(around, replicas=1)
    await wait_images(around, db_0="one")
    assert gone == ["db-2", "db-1"]


async def test_pods_have_their_own_names(around: Around) -> None:
    await make(around, replicas=1)
    await wait_images(around, db_0="one")
    pod = await around.client.get(PODS, "db-0", namespace=around.namespace)
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-0", "data")


async def test_a_new_template_replaces_pods_from_the_last_to_the_first(around: Around) -> None:
    await make(around)
    await wait_images(around, db_0="one", db_1="one", db_2="one")
    await change(
        around, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}, template=template("two")
    )
    await wait_images(around, db_0="one", db_1="two", db_2="two")
    await change(around, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    await wait_images(around, db_0="two", db_1="two", db_2="two")

    async def is_one_revision() -> bool:
        status = (await around.client.get(STATEFUL_SETS, "db", namespace=around.namespace)).status
        return status.current_revision == status.update_revision and status.updated_replicas == 3

    await eventually(is_one_revision)


async def test_kubectl_brings_an_earlier_template_back(around: Around) -> None:
    await make(around, replicas=2)
    await wait_images(around, db_0="one", db_1="one")
    await change(around, template=template("two"))
    await wait_images(around, db_0="two", db_1="two")
    await kubectl(around, "rollout", "status", "sts/db", "--timeout=20s")
    await kubectl(around, "rollout", "undo", "sts/db")
    await wait_images(around, db_0="one", db_1="one")
    history = await kubectl(around, "rollout", "history", "sts/db")
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["2", "3"]


async def test_below_the_partition_a_lost_pod_comes_back_as_it_was(around: Around) -> None:
    await make(around, replicas=2)
    await wait_images(around, db_0="one", db_1="one")
    kept = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    await change(around, updateStrategy=kept, template=template("two"))
    await wait_images(around, db_0="one", db_1="two")
    lost = (await around.client.get(PODS, "db-0", namespace=around.namespace))["metadata"]["uid"]
    await around.client.delete(PODS, "db-0", namespace=around.namespace)

    async def is_another() -> bool:
        pods = (await around.client.list(PODS, namespace=around.namespace)).items
        return lost not in {pod["metadata"]["uid"] for pod in pods}

    await eventually(is_another)
    await wait_images(around, db_0="one", db_1="two")


async def test_a_pod_that_never_becomes_ready_is_cured_by_a_new_template(around: Around, kind: str) -> None:
    if kind != EMBEDDED:
        pytest.skip("OURS: Kubernetes waits until somebody deletes the pod")
    await make(around, template=template("one", broken="yes"))
    await eventually(lambda: len(around.informer(PODS).store.all(around.namespace)) == 1)
    await change(around, template=template("two", broken=None))
    await wait_images(around, db_0="two", db_1="two", db_2="two")
    assert (await around.client.get(PODS, "db-0", namespace=around.namespace))["spec"]["containers"][0][
        "image"
    ] == "two"
