"""Patterns find what Go's would, refuse what Go refuses, and cost no more than the text is long."""

import re
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.apiserver.pattern import BadPattern, compiled, matches

LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
CONDITION = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (LABEL, ["a", "a-b", "0"], ["", "-a", "a-", "a_b", "A", "a\n"]),
        (CONDITION, ["Ready", "test.dev/Ready", "a.b.c/D_e.f"], ["/Ready", "a/b/c", "-x", ""]),
        (r"^(a|b){2,3}c?$", ["ab", "abac"], ["a", "ababa", "cc"]),
        (r"^a{3}$", ["aaa"], ["aa", "aaaa"]),
        (r"^a{2,}$", ["aa", "aaaaa"], ["a"]),
        (r"a{,3}", ["a{,3}"], ["aaa"]),
        (r"\bfoo\b", ["foo", "a foo b"], ["food", "xfoo"]),
        (r"\Boo", ["foo"], ["oo"]),
        (r"(?i)^ab+$", ["AB", "abB"], ["a"]),
        (r"(?i:a)b", ["Ab", "ab"], ["aB"]),
        (r"^[^a-c]$", ["d", "\n"], ["a", "dd"]),
        (r"^[]a-]+$", ["]", "a-]"], ["b"]),
        (r"^[[:alpha:]_]+$", ["aZ_"], ["1"]),
        (r"^[[:^digit:]]$", ["a"], ["1"]),
        (r"^\d+(\.\d+)?$", ["1", "1.5"], ["1.", ".5", "\N{ARABIC-INDIC DIGIT ONE}"]),
        (r"^\p{Lu}\pL*$", ["Äb"], ["äb"]),
        (r"^\Qa.b\E$", ["a.b"], ["axb"]),
        (r"^\x41\x{42}\103$", ["ABC"], ["abc"]),
        (r"^a.c$", ["abc"], ["a\nc"]),
        (r"(?s)^a.c$", ["a\nc"], ["ac"]),
        (r"(?m)^b$", ["a\nb\nc"], ["ab"]),
        (r"^(?P<x>a)(?<y>b)(?:c)$", ["abc"], ["ab"]),
        (r"^a*?b+?$", ["b", "aab"], ["a"]),
        (r"", ["", "x"], []),
        (r"^\s\S\w\W\D$", [" a_ x"], ["a    "]),
        (r"\Aab\z", ["ab"], ["abc", "xab"]),
    ],
)
def test_patterns_find_what_gos_find(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [text for text in yes if not matches(pattern, text)] == []
    assert [text for text in no if matches(pattern, text)] == []


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", ")", "[a", "a**", "*a", "a++", r"\1", "(?=a)", "(?<!a)", "a{1001}", "a{3,2}", "[z-a]", r"\p{Foo}", "\\"),
        *("((a{500}){500})", "a" * 5000, "[[:nope:]]", r"\x{110000}", "(?z)a", r"\y"),
    ],
)
def test_what_go_does_not_take_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        compiled(pattern)


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a*)*b", "^(a|aa)+$", "(x+x+)+y", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_hostile_patterns_take_linear_time(pattern: str) -> None:
    started = time.monotonic()
    matches(pattern, "a" * 50_000 + "!")
    assert time.monotonic() - started < 5


PARTS = st.sampled_from(["a", "b", "[ab]", "[^a]", "(a|b)", "(ab)?", "a*", "b+", "(a|b){1,2}", ".", "^", "$", r"\b"])


@given(parts=st.lists(PARTS, max_size=6), text=st.text(alphabet="ab1 " + string.digits[:1], max_size=8))
def test_small_patterns_agree_with_pythons(parts: list[str], text: str) -> None:
    pattern = "".join(parts)
    # Without newlines in the text, Python's $ means what Go's does.
    assert matches(pattern, text) == bool(re.search(pattern, text, re.ASCII))
