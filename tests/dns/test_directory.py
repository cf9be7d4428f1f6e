"""The directory follows three stores, one service at a time."""

from ipaddress import ip_address

import pytest

from isthmus.api.core import SERVICE_NAME_LABEL as CORE_SERVICE_NAME_LABEL
from isthmus.api.core import Endpoint, EndpointSlice, Namespace
from isthmus.api.mcs import (
    CLUSTER_SET_IP,
    HEADLESS,
    SERVICE_NAME_LABEL,
    SOURCE_CLUSTER_LABEL,
    ServiceImport,
    ServiceImportSpec,
)
from isthmus.api.meta import ObjectMeta
from isthmus.dns.directory import BY_SERVICE, Directory, services_of
from isthmus.kit.dns.message import Question, Rcode
from isthmus.kit.dns.records import Address, Type
from isthmus.kit.dns.zone import Zone
from isthmus.kube.store import Store

Z = "clusterset.local"
FRAME = {f"prod.svc.{Z}", f"svc.{Z}", Z}


class Cluster:
    """Stores that a test fills by hand."""

    def __init__(self) -> None:
        self.imports: Store[ServiceImport] = Store()
        self.slices: Store[EndpointSlice] = Store({BY_SERVICE: services_of})
        self.namespaces: Store[Namespace] = Store()
        zone = Zone(Z, ttl=5, serial=1)
        self.directory = Directory(self.imports, self.slices, self.namespaces, zone=zone, ttl=5)
        self.directory.complete = True

    def put_import(self, name: str, *ips: str) -> None:
        spec = ServiceImportSpec(type=CLUSTER_SET_IP if ips else HEADLESS, ports=(), ips=ips)
        self.imports.put(ServiceImport(metadata=ObjectMeta(name=name, namespace="prod"), spec=spec))

    def put_slice(self, name: str, service: str, address: str) -> None:
        labels = {SERVICE_NAME_LABEL: service, SOURCE_CLUSTER_LABEL: "east"}
        meta = ObjectMeta(name=name, namespace="prod", labels=labels)
        self.slices.put(EndpointSlice(metadata=meta, endpoints=(Endpoint(addresses=(address,)),)))

    def told(self, name: str) -> list[str] | Rcode:
        answer = self.directory.answer(Question(name, Type.A))
        found = [str(r.data.address) for r in answer.answers if isinstance(r.data, Address)]
        return found or Rcode(answer.rcode)


@pytest.mark.requirement("MCS-104")
def test_until_all_is_known_nothing_is_denied() -> None:
    cluster = Cluster()
    cluster.directory.complete = False
    answer = cluster.directory.answer(Question(f"shop.prod.svc.{Z}", Type.A))
    assert (answer.rcode, answer.keep, answer.authoritative) == (Rcode.SERVFAIL, False, False)


@pytest.mark.requirement("MCS-89")
@pytest.mark.parametrize(
    "name", ["kubernetes.default.svc.cluster.local", "7.128.1.10.in-addr.arpa", "1.0.9.6.d.f.ip6.arpa"]
)
def test_other_zones_are_refused_and_reverse_zones_with_them(name: str) -> None:
    assert Cluster().told(name) == Rcode.REFUSED


def test_a_service_that_changed_changes_its_own_names_and_no_others() -> None:
    cluster = Cluster()
    cluster.put_import("shop", "10.1.128.7")
    cluster.put_import("cart", "10.1.128.8")
    cluster.directory.update(["prod/shop", "prod/cart"], [])
    cluster.put_import("shop", "10.1.128.9")
    assert cluster.directory.update(["prod/shop"], []) == {f"shop.prod.svc.{Z}", *FRAME}
    assert cluster.told(f"shop.prod.svc.{Z}") == ["10.1.128.9"]
    assert cluster.told(f"cart.prod.svc.{Z}") == ["10.1.128.8"]
    assert cluster.directory.update(["prod/shop", "prod/cart"], []) == set()


def test_slices_are_read_by_the_service_they_belong_to() -> None:
    cluster = Cluster()
    cluster.put_import("db")
    cluster.put_slice("one", "db", "10.1.0.1")
    cluster.put_slice("other", "shop", "10.1.0.2")
    cluster.directory.update(["prod/db"], [])
    assert cluster.told(f"db.prod.svc.{Z}") == ["10.1.0.1"]
    assert cluster.told(f"10-1-0-1.east.db.prod.svc.{Z}") == [str(ip_address("10.1.0.1"))]
    cluster.slices.remove(("prod", "one"))
    cluster.directory.update(["prod/db"], [])
    assert cluster.told(f"db.prod.svc.{Z}") == Rcode.NXDOMAIN


@pytest.mark.requirement("MCS-105")
def test_with_the_import_all_its_names_go_though_slices_stay_a_while() -> None:
    cluster = Cluster()
    cluster.put_import("db")
    cluster.put_slice("one", "db", "10.1.0.1")
    cluster.directory.update(["prod/db"], [])
    cluster.imports.remove(("prod", "db"))
    cluster.directory.update(["prod/db"], [])
    for name in ("db", "10-1-0-1.east.db"):
        assert cluster.told(f"{name}.prod.svc.{Z}") == Rcode.NXDOMAIN
    assert cluster.told(f"prod.svc.{Z}") == Rcode.NXDOMAIN


@pytest.mark.requirement("MCS-96", "MCS-97")
def test_a_namespace_exists_with_or_without_services() -> None:
    cluster = Cluster()
    assert cluster.told(f"prod.svc.{Z}") == Rcode.NXDOMAIN
    cluster.namespaces.put(Namespace(metadata=ObjectMeta(name="prod")))
    assert cluster.directory.update([], ["prod"]) == FRAME
    assert cluster.told(f"prod.svc.{Z}") == Rcode.NOERROR
    cluster.namespaces.remove(("", "prod"))
    cluster.directory.update([], ["prod"])
    assert cluster.told(f"prod.svc.{Z}") == Rcode.NXDOMAIN


def test_a_slice_without_a_service_belongs_to_none() -> None:
    local = {CORE_SERVICE_NAME_LABEL: "db"}
    assert services_of(EndpointSlice(metadata=ObjectMeta(name="x", namespace="prod", labels=local))) == ()
