"""Kubernetes' rules for names, at their edges."""

import pytest

from isthmus.api.names import is_dns_label, is_dns_subdomain, is_label_value, is_qualified_name


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (is_dns_label, ["a", "a-b", "0", "x" * 63], ["", "-a", "a-", "A", "a.b", "a_b", "x" * 64, "a\n", "ä"]),
        (is_dns_subdomain, ["a", "a.b-c.d"], ["", ".", "a..b", "A.b", "a.", "x" * 254]),
        (is_label_value, ["", "a", "A_b.c-d", "x" * 63], ["-a", "a-", "a b", "x" * 64, "a\n"]),
        (
            is_qualified_name,
            ["a", "A.b_c", "example.com/a", "x" * 253 + "/a"],
            ["", "/a", "a/", "a/b/c", "Example.com/a", "x" * 254 + "/a", "a/" + "x" * 64, "a b"],
        ),
    ],
)
def test_a_name_is_good_or_bad_by_its_rule(rule: object, good: list[str], bad: list[str]) -> None:
    assert callable(rule)
    assert all(rule(name) for name in good)
    assert not any(rule(name) for name in bad)
