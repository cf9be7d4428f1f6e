"""Regular expressions in Go's syntax (RE2), read into a tree; what Go does not take is refused."""

import string
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from isthmus.errors import Invalid

MAX_REPEAT = 1000
MAX_DEPTH = 100

Test = Callable[[str], bool]
# A node: ("set", test), ("at", place), ("cat", nodes), ("alt", nodes) or ("rep", node, least, most).
Node = tuple[object, ...]
EMPTY: Node = ("cat", [])


class BadPattern(Invalid):
    """The text is no regular expression, or one that would cost too much."""


def parsed(pattern: str) -> Node:
    """The pattern as a tree. Raises BadPattern."""
    parser = _Parser(pattern)
    node = parser.alternation(0)
    if parser.rest():
        raise BadPattern(f"unexpected ): `{pattern}`")
    return node


def _in(members: Iterable[str]) -> Test:
    return frozenset(members).__contains__


WORD = _in(string.ascii_letters + string.digits + "_")
CLASSES: dict[str, Test] = {
    "alpha": _in(string.ascii_letters),
    "digit": _in(string.digits),
    "alnum": _in(string.ascii_letters + string.digits),
    "upper": _in(string.ascii_uppercase),
    "lower": _in(string.ascii_lowercase),
    "space": _in(string.whitespace),
    "blank": _in(" \t"),
    "xdigit": _in(string.hexdigits),
    "word": WORD,
    "punct": _in(string.punctuation),
    "cntrl": lambda char: char < " " or char == "\x7f",
    "print": lambda char: " " <= char <= "~",
    "graph": lambda char: "!" <= char <= "~",
    "ascii": lambda char: char <= "\x7f",
}
SHORTHANDS = {"d": CLASSES["digit"], "w": WORD, "s": _in("\t\n\f\r ")}
ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
PLACES = {"A": "start", "z": "end", "b": "word", "B": "inside"}


def _not(test: Test) -> Test:
    return lambda char: not test(char)


@dataclass
class _Parser:
    pattern: str
    at: int = 0
    flags: frozenset[str] = frozenset()

    def rest(self) -> str:
        return self.pattern[self.at :]

    def take(self, text: str) -> bool:
        if not self.pattern.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def next(self) -> str:
        if self.at >= len(self.pattern):
            raise BadPattern(f"unexpected end: `{self.pattern}`")
        self.at += 1
        return self.pattern[self.at - 1]

    def until(self, end: str) -> str:
        text, found, _ = self.rest().partition(end)
        if not found:
            raise BadPattern(f"missing {end}: `{self.pattern}`")
        self.at += len(text) + len(end)
        return text

    def alternation(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise BadPattern("nested too deeply")
        branches = [self.sequence(depth)]
        while self.take("|"):
            branches.append(self.sequence(depth))
        return branches[0] if len(branches) == 1 else ("alt", branches)

    def sequence(self, depth: int) -> Node:
        nodes: list[Node] = []
        while self.rest() and self.rest()[0] not in "|)":
            nodes.append(self.repeated(depth))
        return nodes[0] if len(nodes) == 1 else ("cat", nodes)

    def repeated(self, depth: int) -> Node:
        node = self.atom(depth)
        times = 0
        while (bounds := self.bounds()) is not None:
            times += 1
            if times > 1:
                raise BadPattern(f"invalid nested repetition operator: `{self.pattern}`")
            node = ("rep", node, *bounds)
        return node

    def bounds(self) -> tuple[int, int | None] | None:
        found: tuple[int, int | None] | None = None
        for sign, both in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if found is None and self.take(sign):
                found = both
        if found is None and self.take("{"):
            found = self.counted()
        if found is not None:
            # Lazy or not is all the same to a search that only says yes or no.
            self.take("?")
        return found

    def counted(self) -> tuple[int, int | None] | None:
        least, comma, most = self.rest().partition("}")[0].partition(",")
        if not least.isdecimal() or (most and not most.isdecimal()) or "}" not in self.rest():
            # As in Go, a brace that counts nothing stands for itself.
            self.at -= 1
            return None
        self.until("}")
        low, high = int(least), int(most) if most else None if comma else int(least)
        if low > MAX_REPEAT or (high is not None and (high > MAX_REPEAT or high < low)):
            raise BadPattern(f"invalid repeat count: `{self.pattern}`")
        return low, high

    def atom(self, depth: int) -> Node:
        char = self.next()
        match char:
            case "(":
                return self.group(depth)
            case "[":
                return self.char_class()
            case "\\":
                return self.escape()
            case ".":
                return ("set", _not(_in("" if "s" in self.flags else "\n")))
            case "^":
                return ("at", "line start" if "m" in self.flags else "start")
            case "$":
                return ("at", "line end" if "m" in self.flags else "end")
            case "*" | "+" | "?":
                raise BadPattern(f"missing argument to repetition operator: `{char}`")
        return self.literal(char)

    def literal(self, char: str) -> Node:
        return ("set", self.folded(char.__eq__))

    def folded(self, test: Test) -> Test:
        if "i" not in self.flags:
            return test
        return lambda char: test(char) or test(char.lower()) or test(char.upper())

    def group(self, depth: int) -> Node:
        before = self.flags
        if self.take("?"):
            if self.take("P<") or (self.take("<") and self.rest()[:1] not in {"=", "!"}):
                self.until(">")
            elif not self.set_flags():
                return EMPTY
        node = self.alternation(depth + 1)
        if not self.take(")"):
            raise BadPattern(f"missing closing ): `{self.pattern}`")
        self.flags = before
        return node

    def set_flags(self) -> bool:
        """Read `i`, `-s`, `m:` and the like; false where the group ends with them."""
        flags, on = set(self.flags), True
        while (char := self.next()) not in ":)":
            if char == "-" and on:
                on = False
            elif char in "imsU":
                flags = flags | {char} if on else flags - {char}
            else:
                raise BadPattern(f"invalid or unsupported Perl syntax: `(?{char}`")
        self.flags = frozenset(flags)
        return char == ":"

    def escape(self) -> Node:
        char = self.rest()[:1]
        if char in PLACES and char:
            self.at += 1
            return ("at", PLACES[char])
        if self.take("Q"):
            return ("cat", [self.literal(each) for each in self.until("\\E")])
        test = self.class_escape()
        return ("set", self.folded(test)) if test is not None else self.literal(self.escaped())

    def class_escape(self) -> Test | None:
        """The set that `\\d` or `\\pL` stands for, if that is what comes after the backslash."""
        char = self.rest()[:1]
        if char and char.lower() in SHORTHANDS:
            self.at += 1
            test = SHORTHANDS[char.lower()]
            return _not(test) if char.isupper() else test
        if char not in {"p", "P"}:
            return None
        self.at += 1
        name = self.until("}") if self.take("{") else self.next()
        negated, name = (char == "P") != name.startswith("^"), name.lstrip("^")
        if not name or name[0] not in "CLMNPSZ" or len(name) > 2:
            raise BadPattern(f"invalid character class range: `{name}`")
        test = lambda each: unicodedata.category(each).startswith(name)  # noqa: E731  # one of two shapes
        return _not(test) if negated else test

    def escaped(self) -> str:
        char = self.next()
        if char == "x":
            digits = self.until("}") if self.take("{") else self.next() + self.next()
            return self.code_point(digits, 16)
        if char in "01234567":
            while len(char) < 3 and self.rest()[:1] and self.rest()[0] in "01234567":
                char += self.next()
            if char[0] != "0" and len(char) == 1:
                raise BadPattern(f"invalid escape sequence: `\\{char}`")
            return self.code_point(char, 8)
        if char in ESCAPES:
            return ESCAPES[char]
        if char.isalnum() and char.isascii():
            raise BadPattern(f"invalid escape sequence: `\\{char}`")
        return char

    def code_point(self, digits: str, base: int) -> str:
        try:
            return chr(int(digits, base))
        except (ValueError, OverflowError) as error:
            raise BadPattern(f"invalid escape sequence: `{digits}`") from error

    def char_class(self) -> Node:
        negated = self.take("^")
        tests: list[Test] = []
        first = True
        while first or not self.take("]"):
            first = False
            tests.append(self.class_member())
        test: Test = self.folded(lambda char: any(each(char) for each in tests))
        return ("set", _not(test) if negated else test)

    def class_member(self) -> Test:
        if self.take("[:"):
            name = self.until(":]")
            if name.lstrip("^") not in CLASSES:
                raise BadPattern(f"invalid character class range: `[:{name}:]`")
            named = CLASSES[name.lstrip("^")]
            return _not(named) if name.startswith("^") else named
        low = self.class_char()
        if callable(low):
            return low
        if not self.rest().startswith("-") or self.rest()[1:2] in {"]", ""}:
            return low.__eq__
        self.at += 1
        high = self.class_char()
        if callable(high) or high < low:
            raise BadPattern(f"invalid character class range: `{self.pattern}`")
        return lambda char: low <= char <= high

    def class_char(self) -> str | Test:
        char = self.next()
        if char != "\\":
            return char
        return self.class_escape() or self.escaped()
