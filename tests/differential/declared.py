"""Where the two servers differ for good, and why: the list in docs/embedded.md is made from this.

A step that is named here has to differ, and only where its reason says; once it no longer does, the test fails
until the line is gone.
"""

from tests.differential.steps import Reason

# What the comparison leaves out everywhere.
GENERAL = (
    Reason("Identities, versions, times, addresses, ports and generated names", "each server hands out its own"),
    Reason("How often a cause is repeated in a refusal", "the real server says it once for each validator that runs"),
    Reason("The object quoted when a patch cannot be read", "its fields come in another order"),
    Reason("Kinds and subresources that are not served (discovery lists them)", "nothing in Isthmus needs them"),
)
