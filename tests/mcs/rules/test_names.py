"""What objects are called: one name each, never too long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.api.names import is_dns_label, is_dns_subdomain
from isthmus.mcs.rules.names import ExportKey, chunk_name, derived_name, export_name, slice_name

LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
KEYS = st.builds(ExportKey, LABELS, LABELS, LABELS)


@pytest.mark.requirement("MCS-75")
def test_the_derived_service_is_called_as_upstreams() -> None:
    assert derived_name("default", "my-svc") == "derived-b8s174v3sn"
    assert derived_name("default", "my-svc", 1) != derived_name("default", "my-svc", 2)


def test_names_on_the_hub_begin_with_their_owner_and_a_dot() -> None:
    key = ExportKey("east", "prod", "shop")
    assert export_name(*key) == "east.prod.shop"
    assert chunk_name(key, "IPv6", 3) == "east.prod.shop.ipv6.3"


@pytest.mark.requirement("MCS-74", "MCS-101")
@settings(max_examples=100)
@given(KEYS, KEYS)
def test_names_are_valid_and_tell_keys_apart(one: ExportKey, other: ExportKey) -> None:
    for name in (export_name(*one), chunk_name(one, "IPv4", 999), slice_name(one.name, one.cluster, "IPv6", 999)):
        assert is_dns_subdomain(name)
    assert is_dns_label(derived_name(one.namespace, one.name))
    if one != other:
        assert export_name(*one) != export_name(*other)
    if (one.name, one.cluster) != (other.name, other.cluster):
        assert slice_name(one.name, one.cluster, "IPv4", 0) != slice_name(other.name, other.cluster, "IPv4", 0)


@pytest.mark.requirement("MCS-74")
def test_a_slice_is_never_taken_for_another_services() -> None:
    assert slice_name("a-b", "c", "IPv4", 0) != slice_name("a", "b-c", "IPv4", 0)
