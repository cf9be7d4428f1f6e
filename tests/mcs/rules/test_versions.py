"""Which version of the rules a set agrees by."""

import msgspec
import pytest

from isthmus.api.isthmus import RULES_VERSION, Member, MemberStatus
from isthmus.mcs.rules.versions import OLDEST, common
from tests.mcs.rules.examples import member


def speaking(id_: str, version: int) -> Member:
    return msgspec.structs.replace(member(id_), status=MemberStatus(rules_version=version))


@pytest.mark.parametrize(
    ("members", "want"),
    [
        pytest.param([], RULES_VERSION, id="alone"),
        pytest.param([speaking("a", RULES_VERSION), speaking("b", RULES_VERSION)], RULES_VERSION, id="all alike"),
        pytest.param([speaking("a", RULES_VERSION), speaking("b", 1)], 1, id="the last of them counts"),
        pytest.param([speaking("a", RULES_VERSION + 5)], RULES_VERSION, id="newer ones wait for us"),
        pytest.param([speaking("a", 0), member("b")], RULES_VERSION, id="who has not spoken computes nothing"),
        pytest.param([speaking("a", OLDEST)], OLDEST, id="nobody goes further back than the oldest known"),
    ],
)
def test_the_lowest_common_version_is_used(members: list[Member], want: int) -> None:
    assert common(members) == want
