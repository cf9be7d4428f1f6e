import pytest

from isthmus.errors import Invalid
from isthmus.local.residents import upstream


def test_name_servers_of_the_outside() -> None:
    assert upstream("") == ()
    assert upstream("192.0.2.53, 2001:db8::53") == (("192.0.2.53", 53), ("2001:db8::53", 53))


def test_what_is_no_address_is_refused_with_an_example() -> None:
    with pytest.raises(Invalid, match=r"--dns-upstream: 'dns.example' is no IP address; write one, such as 192.0.2.53"):
        upstream("dns.example")
