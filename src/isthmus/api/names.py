"""Which names and values Kubernetes accepts where it names the rule: RFC 1123 labels, label values, label keys.

`k8s.io/apimachinery/pkg/util/validation`.
"""

import re

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")


def is_dns_label(text: str) -> bool:
    """An RFC 1123 label: at most 63 lower-case letters, digits and dashes, no dash at an end."""
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None


def is_dns_subdomain(text: str) -> bool:
    """Labels joined by dots, at most 253 characters; Kubernetes does not bound each label here."""
    return len(text) <= 253 and all(_LABEL.fullmatch(label) for label in text.split("."))


def is_label_value(text: str) -> bool:
    """Empty, or at most 63 letters, digits, dashes, underscores and dots between two letters or digits."""
    return not text or (len(text) <= 63 and _PART.fullmatch(text) is not None)


def is_qualified_name(text: str) -> bool:
    """The key of a label or annotation: a name of at most 63 characters, after a DNS subdomain and a slash."""
    prefix, slash, name = text.rpartition("/")
    if slash and not is_dns_subdomain(prefix):
        return False
    return 0 < len(name) <= 63 and _PART.fullmatch(name) is not None
