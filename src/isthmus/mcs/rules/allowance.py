"""How much one member may export, so that none can fill the hub or other clusters; and which of too many stay.

Design, part 3, "members do not trust each other"; upstream names no limit.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import accumulate

from isthmus.api.isthmus import MAX_CHUNKS, MAX_EXPORT_BYTES, MAX_EXPORTS, Member

_ALWAYS = datetime.min.replace(tzinfo=UTC)


def allowed(member: Member | None) -> int:
    """How many exports an admin allows the member."""
    return member.spec.max_exports if member is not None and member.spec is not None else MAX_EXPORTS


def allowed_chunks(member: Member | None) -> int:
    """And how many chunks of endpoints: enough for two of the largest services, however few exports are allowed."""
    return max(allowed(member), 2 * MAX_CHUNKS)


def allowed_bytes(member: Member | None) -> int:
    """And how large all of it may be together."""
    return member.spec.max_export_bytes if member is not None and member.spec is not None else MAX_EXPORT_BYTES


def surplus(found: Iterable[tuple[datetime | None, str, int]], most: int) -> tuple[str, ...]:
    """The names of those that are too much, by the moment at which the hub stored each: the oldest stay.

    The last number is what each counts for: one, or its bytes. What is older has to leave room, not how much: so who
    has had something taken out is still full, and does not bring it again. What a member says of age does not count;
    ties go to the name.
    """
    in_order = sorted((created or _ALWAYS, name, weight) for created, name, weight in found)
    older = accumulate((weight for _, _, weight in in_order), initial=0)
    return tuple(name for (_, name, _), before in zip(in_order, older, strict=False) if before >= most)


def is_believed(member: Member | None, imported: int) -> bool:
    """Whether an exporter's word keeps imports alive whose exports are not on the hub (design, part 3, rule 3).

    Not where more imports name it than it may export: it would have exports go and have their imports kept, without
    end. One that keeps to its allowance never comes to that.
    """
    return imported <= allowed(member)
