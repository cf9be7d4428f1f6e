from isthmus.api.core import PODS
from isthmus.api.scheme import Manifest
from isthmus.local.rules.kinds import STATEFUL_SETS
from tests.local.conftest import Around, eventually


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


async def test_pods_come_in_order_and_go_in_reverse(around: Around) -> None:
    order: list[str] = []
    around.informer(PODS).subscribe(
        lambda change: order.append(change.after["metadata"]["name"]) if change.after and not change.before else None
    )
    gone: list[str] = []
    around.informer(PODS).subscribe(
        lambda change: gone.append(change.before["metadata"]["name"]) if change.before and not change.after else None
    )
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


async def test_a_pod_that_never_becomes_ready_is_cured_by_a_new_template(around: Around) -> None:
    await make(around, template=template("one", broken="yes"))
    await eventually(lambda: len(around.informer(PODS).store.all()) == 1)
    await change(around, template=template("two", broken=None))
    await wait_images(around, db_0="two", db_1="two", db_2="two")
    assert (await around.client.get(PODS, "db-0", namespace=around.namespace))["spec"]["containers"][0][
        "image"
    ] == "two"
