"""What our processes look like in a cluster, and whose each object of an installation is."""

import pytest

from isthmus.errors import Invalid
from isthmus.install.hub import HubOptions, hub_manifests
from isthmus.install.workloads import INSTALLATION_LABEL, SHARED, Tuning


@pytest.mark.parametrize("name", ["prod", "isthmus"])
def test_two_installations_share_one_namespace_and_one_priority_whatever_their_set_is_called(name: str) -> None:
    shared = [
        (each["kind"], each["metadata"]["name"])
        for each in hub_manifests(HubOptions(name, ("isthmus",)))
        if each["metadata"]["labels"][INSTALLATION_LABEL] == SHARED
    ]
    assert shared == [("Namespace", "isthmus-system"), ("PriorityClass", "isthmus")]


def test_nothing_is_no_number_of_pods() -> None:
    with pytest.raises(Invalid, match="0 replicas run nothing"):
        Tuning(replicas=0)
