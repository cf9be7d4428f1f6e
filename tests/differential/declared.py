"""Where the two servers differ for good, and why: the list in docs/embedded.md is made from this.

A step that is named here has to differ, and only where its reason says; once it no longer does, the test fails
until its number is gone from here.
"""

from collections.abc import Mapping

from tests.differential.steps import Reason

# What the comparison leaves out everywhere.
GENERAL = (
    Reason("identities, versions, times, addresses, ports and generated names", "each server hands out its own"),
    Reason("how often a cause is repeated in a refusal", "the real server says it once for each validator that runs"),
    Reason("the object quoted when a patch cannot be read", "its fields come in another order"),
    Reason("what `kubectl explain` says that fields mean", "descriptions are not kept"),
    Reason(
        "OpenAPI tells no descriptions, defaults and unions, no hashes, lists and answers; types have short names",
        "clients read the types, what is required, how lists and patches work, and which parameters writes take",
    ),
    Reason(
        "a Warning to who makes a DaemonSet, a NetworkPolicy or Endpoints",
        "they are stored, and nothing in an embedded cluster acts on them",
    ),
    Reason("kinds and subresources that are not served", "nothing in Isthmus needs them; discovery leaves them out"),
)

WORDS = Reason(
    "the words about bodies, patches, tokens and definitions that make no sense",
    "Go's decoder and validators speak of Go; code and reason are the same",
    ("body.message", "body.0.object.message", "body.details.causes*"),
)
OWN_HAND = Reason(
    "who wrote what the server writes by itself",
    "it is isthmus-apiserver, not kube-controller-manager",
    ("*.manager",),
)
BOOKS = Reason(
    "some entries of managedFields",
    "an empty list that was sent, a field that another version's schema drops and events of events.k8s.io are booked "
    "as they are stored; a scale that is applied is booked as an update",
    ("*managedFields*",),
)
WARNINGS = Reason(
    "warnings beside refusals, and about patches that name a field twice",
    "warnings come with what was written; patches are decoded once",
    ("headers.Warning",),
)
AT_ONCE = Reason(
    "the answer to a new or changed definition",
    "names are judged and the kind is established in the same step, by the server itself; no controller follows",
    ("body.metadata*", "body.status*", "headers.Warning"),
)
NAMESPACE_CONDITIONS = Reason(
    "conditions of a namespace that is on its way out",
    "nothing in Isthmus reads them yet; what still holds it is seen in the namespace",
    ("body.metadata*", "body.status*", "body.spec*"),
)
TAINT = Reason(
    "the taint on a node that has just registered",
    "no lifecycle controller would take it off again",
    ("body.spec.taints",),
)
DOUBLE_SLASH = Reason("a path that begins with two slashes", "it is taken for one slash")
OLD_WATCH = Reason("paths with watch in front (/api/v1/watch/...)", "deprecated since 1.11, used by no client")
LAST_BOOKMARK = Reason("a bookmark at the end of a watch that asked for some", "it lets clients go on from there")
DUPLICATES = Reason("fields that a body says twice", "the last one counts; Go merges maps; of patches none is told")
EMPTY_ADD = Reason("a JSON patch that adds without a value", "refused here, as RFC 6902 has it; Go adds null")
SCALE = Reason("the scale of a custom object without replicas, and refusals of it", "shown as zero here")
EMBEDDED = Reason("metadata of embedded objects (x-kubernetes-embedded-resource)", "kept, not validated")
SHAPES = Reason(
    "Tables and metadata in version v1beta1, of the wrong arity and of reviews; DaemonSets after a status by hand",
    "deprecated forms; the annotation that the real server drops then is kept",
)
MEDIA = Reason("protobuf in answers, and methods that HTTP does not know", "every client takes JSON too")
DOCUMENTS = Reason(
    "addresses in /api, the list of paths at /, Vary and caching of discovery",
    "they tell of the server's own surroundings",
)
OPENAPI = Reason(
    "headers of OpenAPI, and the words where it has no document",
    "clients go by the code and the body",
    ("headers*", "body"),
)
OPENAPI_2 = Reason(
    "OpenAPI version 2 is empty, as protobuf, and not served as JSON",
    "kubectl asks for it only where version 3 does not know a kind; it was replaced in 1.27",
)
VERSION = Reason("the build in /version", "it says +isthmus, so that nobody takes it for another", ("body.*",))

DECLARED: Mapping[str, Mapping[Reason, tuple[int, ...]]] = {
    "names that are made, and names that are not": {
        WORDS: (6, 7, 8),
    },
    "bodies in every format": {
        WORDS: (3, 11, 12),
        WARNINGS: (4,),
        OWN_HAND: (19,),
    },
    "unknown and duplicate fields": {
        WORDS: (5,),
        DUPLICATES: (7, 12, 17, 30),
        WARNINGS: (29,),
    },
    "nothing comes of a dry run": {
        OWN_HAND: (20,),
    },
    "every kind, made with little": {
        BOOKS: (14, 17, 20),
        TAINT: (18,),
    },
    "too much of it": {
        WORDS: (6,),
    },
    "subresources": {
        BOOKS: (32, 33, 34),
    },
    "lists in parts": {
        OWN_HAND: (12,),
        WORDS: (19, 20),
    },
    "what is in a list": {
        DOUBLE_SLASH: (15,),
    },
    "events come in order, none missing": {
        OLD_WATCH: (19,),
    },
    "events in other shapes": {
        WORDS: (15,),
    },
    "streaming lists and bookmarks": {
        LAST_BOOKMARK: (18,),
    },
    "patches of config maps": {
        WORDS: (26, 29, 32, 35, 95, 98, 122, 125, 128),
        EMPTY_ADD: (38, 83, 84),
        WARNINGS: (89,),
    },
    "strategic patches of deployments": {
        WORDS: (83, 89, 92, 95),
    },
    "patches of services": {
        BOOKS: (35, 36),
    },
    "apply: odd ones end alike": {
        WORDS: (26, 27),
    },
    "apply: deployments are shared": {
        BOOKS: (14,),
    },
    "options of a delete": {
        WORDS: (5, 7, 11, 12),
    },
    "finalizers hold objects": {
        WORDS: (12,),
    },
    "namespaces go with what they hold": {
        NAMESPACE_CONDITIONS: (21, 22),
    },
    "definitions: life": {
        AT_ONCE: (1, 2, 8, 9, 14, 15),
    },
    "definitions: refused": {
        WORDS: (5, 7, 10, 11, 12, 16, 17, 18, 27, 28, 29, 32),
        AT_ONCE: (31,),
    },
    "definitions: names that are taken": {
        AT_ONCE: (4, 7),
    },
    "definitions: what schemas make of objects": {
        WORDS: (19, 20),
        WARNINGS: (57,),
    },
    "definitions: metadata of embedded objects": {
        EMBEDDED: (3,),
    },
    "definitions: versions": {
        BOOKS: (5, 6, 7, 8, 9, 14, 17, 22),
        AT_ONCE: (12, 19, 20),
        WARNINGS: (16,),
    },
    "definitions: a schema is changed": {
        AT_ONCE: (4, 7),
    },
    "definitions: scale and status": {
        SCALE: (4, 10, 17, 18),
        BOOKS: (7, 11, 12, 13, 14, 16, 19),
    },
    "tables: pods in every state": {
        SHAPES: (39, 40, 50),
    },
    "tables: workloads": {
        SHAPES: (17, 18),
    },
    "tables: services, slices, policies": {
        BOOKS: (24, 25),
    },
    "tables: the other kinds": {
        SHAPES: (36,),
    },
    "tables: what may be asked of them": {
        SHAPES: (6,),
        OWN_HAND: (13,),
    },
    "metadata alone": {
        SHAPES: (3, 5, 7),
    },
    "media types of answers": {
        MEDIA: (11, 19, 31),
    },
    "discovery: groups and resources": {
        DOCUMENTS: (12, 20, 28),
    },
    "openapi": {
        OPENAPI: tuple(range(1, 15)),
        OPENAPI_2: (15, 16),
    },
    "discovery: all in one": {
        DOCUMENTS: (1, 2),
        VERSION: (3,),
    },
}
