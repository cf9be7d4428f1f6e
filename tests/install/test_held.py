"""What a member holds for its hub, written and read again."""

import pytest

from isthmus.errors import Invalid
from isthmus.install.held import Held, held_of

WEST = Held("west", "prod", "https://hub.example.org:6443", "-----BEGIN", "http://proxy:3128", "secret")


def test_what_was_written_is_read_again() -> None:
    assert held_of("west", "prod", WEST.kubeconfig("/a/token"), "secret") == WEST
    assert "secret" not in WEST.kubeconfig("/a/token")
    assert "secret" not in repr(WEST)


@pytest.mark.parametrize("text", ["", "clusters: []", "[", "clusters: 1", "clusters: [{cluster: {server: 1}}]"])
def test_what_is_none_is_told(text: str) -> None:
    with pytest.raises(Invalid, match="join again"):
        held_of("west", "prod", text, "secret")
