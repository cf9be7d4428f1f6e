from isthmus.api.core import Endpoint, EndpointConditions, EndpointSlice
from isthmus.api.mcs import SERVICE_NAME_LABEL
from isthmus.api.meta import ObjectMeta
from isthmus.cli.services import ready_endpoints


def slice_of(family: str, *ready: bool | None) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(namespace="prod", labels={SERVICE_NAME_LABEL: "shop"}),
        address_type=family,
        endpoints=tuple(Endpoint(addresses=("x",), conditions=EndpointConditions(ready=one)) for one in ready),
    )


def test_a_dual_stack_backend_counts_once_and_only_while_ready() -> None:
    slices = [slice_of("IPv4", True, None), slice_of("IPv4", False), slice_of("IPv6", True, True)]
    assert ready_endpoints(slices) == {("prod", "shop"): 2}
