"""Text of others as people get to see it."""


def printable(text: str) -> str:
    """The text with all that is not printable escaped: no line is forged with it, and no terminal told anything."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
