"""How names, label keys, label values and port names have to look, in the API server's words.

RFC 1123, RFC 1035 and RFC 6335 as Kubernetes reads them.
"""

import functools
import re
from collections.abc import Callable

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
CONFIG_KEY = r"[-._a-zA-Z0-9]+"
NAME_EXAMPLES = "(e.g. 'MyName',  or 'my.name',  or '123-abc', "
CHARACTERS = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)

LABEL_FAULT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
    f" with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{LABEL}')"
)
SUBDOMAIN_FAULT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    f" and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{SUBDOMAIN}')"
)
QUALIFIED_FAULT = f"name part {CHARACTERS} {NAME_EXAMPLES}regex used for validation is '{QUALIFIED}')"
KEY_FAULT = (
    f"a valid label key {CHARACTERS} {NAME_EXAMPLES}regex used for validation is '{QUALIFIED}')"
    " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
)
VALUE_FAULT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start"
    " and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for"
    f" validation is '({QUALIFIED})?')"
)
CONFIG_KEY_FAULT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',"
    f"  or 'key-name', regex used for validation is '{CONFIG_KEY}')"
)

NameRule = Callable[[str], list[str]]


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _fits(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


def label_faults(text: str, *, unit: str = "characters") -> list[str]:
    """What keeps the text from being a DNS label."""
    if len(text) > 63:
        return [f"must be no more than 63 {unit}"]
    return [] if _fits(LABEL, text) else [LABEL_FAULT]


def subdomain_faults(text: str, *, unit: str = "bytes") -> list[str]:
    """What keeps the text from being a DNS subdomain."""
    if len(text) > 253:
        return [f"must be no more than 253 {unit}"]
    return [] if all(_fits(LABEL, part) for part in text.split(".")) else [SUBDOMAIN_FAULT]


def name_faults(text: str) -> list[str]:
    """What keeps the text from naming an object of most kinds."""
    return subdomain_faults(text, unit="characters")


def namespace_faults(text: str) -> list[str]:
    """What keeps the text from naming a namespace."""
    faults = label_faults(text)
    return ["must not contain dots"] if faults and "." in text and not subdomain_faults(text) else faults


def key_faults(text: str) -> list[str]:
    """What keeps the text from being the key of a label, an annotation or a finalizer."""
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        return [KEY_FAULT]
    faults = []
    if slash and not prefix:
        faults.append("prefix part must be non-empty")
    elif slash:
        faults += [f"prefix part {fault}" for fault in subdomain_faults(prefix)]
    if not name:
        faults.append("name part must be non-empty")
    elif len(name) > 63:
        faults.append("name part must be no more than 63 bytes")
    if not _fits(QUALIFIED, name):
        faults.append(QUALIFIED_FAULT)
    return faults


def value_faults(text: str) -> list[str]:
    """What keeps the text from being the value of a label."""
    faults = ["must be no more than 63 bytes"] if len(text.encode()) > 63 else []
    if text and not _fits(QUALIFIED, text):
        faults.append(VALUE_FAULT)
    return faults


def config_key_faults(text: str) -> list[str]:
    """What keeps the text from being a key of a ConfigMap or Secret."""
    faults = ["must be no more than 253 bytes"] if len(text) > 253 else []
    if not _fits(CONFIG_KEY, text):
        return [*faults, CONFIG_KEY_FAULT]
    if text in {".", ".."}:
        return [*faults, f"must not be '{text}'"]
    return [*faults, "must not start with '..'"] if text.startswith("..") else faults


def port_name_faults(text: str) -> list[str]:
    """What keeps the text from naming a port of a container (an IANA service name)."""
    rules = [
        (len(text) <= 15, "must be no more than 15 characters"),
        (_fits("[-a-z0-9]+", text), "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"),
        (re.search("[a-z]", text) is not None, "must contain at least one letter (a-z)"),
        ("--" not in text, "must not contain consecutive hyphens"),
        (not text.startswith("-") and not text.endswith("-"), "must not begin or end with a hyphen"),
    ]
    return [fault for fits, fault in rules if not fits]


def path_segment_faults(text: str) -> list[str]:
    """What keeps the text from being part of a URL's path, which is all that some kinds ask of a name."""
    if text in {".", ".."}:
        return [f"may not be '{text}'"]
    return [f"may not contain '{part}'" for part in ("/", "%") if part in text]
