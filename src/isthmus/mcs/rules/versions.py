"""Which version of the merge's rules a set agrees by: all agents merge alike, also while they are being upgraded.

Design, part 3, rule 4. What changed with each version:

1. The first.
2. `PreferClose` and `PreferSameZone` are two names of one policy (KEP-3015), and no conflict.
"""

from collections.abc import Iterable

from isthmus.api.isthmus import RULES_VERSION, Member

# Rules older than this are known to nobody any more.
OLDEST = 1


def common(members: Iterable[Member], *, own: int = RULES_VERSION) -> int:
    """The version that all members can compute: a change of rules waits for the last of them.

    A member whose agent has not spoken yet computes nothing. One that is silent goes on where it was, and counts.
    """
    said = (member.status.rules_version for member in members if member.status is not None)
    return max(OLDEST, min((own, *(version for version in said if version))))
