"""The table: every sequence that both servers are played, by theme."""

from tests.differential.sequences import (
    applying,
    builtins,
    definitions,
    deleting,
    documents,
    expressions,
    forms,
    granting,
    identities,
    objects,
    patches,
    policies,
    reading,
    rights,
    rules,
    watching,
)
from tests.differential.steps import Sequence

THEMES = (
    objects,
    reading,
    watching,
    patches,
    applying,
    deleting,
    builtins,
    definitions,
    forms,
    documents,
    rights,
    granting,
    identities,
    policies,
    rules,
    expressions,
)
ALL: tuple[Sequence, ...] = tuple(each for theme in THEMES for each in theme.SEQUENCES)
