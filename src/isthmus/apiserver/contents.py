"""What every namespace has, and what goes when a namespace or a custom kind goes."""

from isthmus.api.scheme import Manifest
from isthmus.apiserver.cluster import CRDS, NAMESPACES, Cluster
from isthmus.apiserver.crds import CLEANUP, is_established
from isthmus.apiserver.deleting import BACKGROUND, DeleteOptions, Deleting, finished
from isthmus.apiserver.garbage import release
from isthmus.apiserver.housekeeping import Housekeeper
from isthmus.apiserver.storage import ADDED, DELETED, Change, Collection
from isthmus.apiserver.writing import MERGE_PATCH, Write, Writing

FIRST_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
DEFINITION = ("apiextensions.k8s.io", "v1", "customresourcedefinitions")
ROOT_CA, DEFAULT_ACCOUNT = "kube-root-ca.crt", "default"
MANAGER = "isthmus-apiserver"
ROOT_CA_NOTE = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints "
    "such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across "
    "distributions of Kubernetes clusters."
)


class Contents:
    """Fills new namespaces, and empties what is being deleted."""

    def __init__(self, cluster: Cluster, writing: Writing, deleting: Deleting, housekeeper: Housekeeper) -> None:
        self._cluster = cluster
        self._writing = writing
        self._deleting = deleting
        self._housekeeper = housekeeper

    def start(self) -> None:
        """Make the first namespaces; take up what was left half done."""
        for name in FIRST_NAMESPACES:
            if self._cluster.find(NAMESPACES, name) is None:
                self._make("namespaces", "", {"metadata": {"name": name}})
        for record in list(self._cluster.storage.collection(NAMESPACES).within()):
            self._furnish(record.key[1])
            self._housekeeper.soon(self._empty, record.key[1])
        for record in self._cluster.storage.collection(CRDS).within():
            self._housekeeper.soon(self._empty_kind, record.key[1])

    def seen(self, collection: Collection, change: Change) -> None:
        """Keep in step with the objects."""
        namespace, name = change.record.key
        if collection.name == NAMESPACES:
            if change.type == ADDED:
                self._housekeeper.soon(self._furnish, name)
            elif change.record.dying:
                self._housekeeper.soon(self._empty, name)
        elif collection.name == CRDS:
            if change.type == DELETED:
                self._cluster.storage.drop(name)
                self._housekeeper.soon(self._judge_again)
            elif change.record.dying:
                self._housekeeper.soon(self._empty_kind, name)
        elif change.type == DELETED:
            self._object_gone(collection.name, namespace, name)

    def _judge_again(self) -> None:
        """Serve definitions that have waited for the names of one that is gone."""
        for record in list(self._cluster.storage.collection(CRDS).within()):
            if not is_established(record.manifest()):
                write = Write(self._cluster.kinds.at(*DEFINITION), "", record.key[1], manager=MANAGER)
                self._writing.patch(write, MERGE_PATCH, b"{}")

    def _object_gone(self, collection: str, namespace: str, name: str) -> None:
        home = self._cluster.find(NAMESPACES, namespace) if namespace else None
        if home is not None and home.dying:
            self._housekeeper.soon(self._empty, namespace)
        elif home is not None and name in {ROOT_CA, DEFAULT_ACCOUNT}:
            self._housekeeper.soon(self._furnish, namespace)
        definition = self._cluster.find(CRDS, collection)
        if definition is not None and definition.dying:
            self._housekeeper.soon(self._empty_kind, collection)

    def _furnish(self, namespace: str) -> None:
        found = self._cluster.find(NAMESPACES, namespace)
        if found is None or found.dying:
            return
        if self._cluster.find("serviceaccounts", DEFAULT_ACCOUNT, namespace) is None:
            self._make("serviceaccounts", namespace, {"metadata": {"name": DEFAULT_ACCOUNT}})
        if self._cluster.find("configmaps", ROOT_CA, namespace) is None:
            note = {"kubernetes.io/description": ROOT_CA_NOTE}
            bundle = {"metadata": {"name": ROOT_CA, "annotations": note}, "data": {"ca.crt": self._cluster.ca}}
            self._make("configmaps", namespace, bundle)

    def _make(self, plural: str, namespace: str, obj: Manifest) -> None:
        kind = self._cluster.kinds.at("", "v1", plural)
        self._writing.create(Write(kind, namespace, obj["metadata"]["name"], manager=MANAGER), obj)

    def _empty(self, namespace: str) -> None:
        home = self._cluster.find(NAMESPACES, namespace)
        if home is None or not home.dying:
            return
        left = False
        for collection in self._cluster.storage.collections():
            kind = self._cluster.kinds.keeping(collection.name)
            if kind is None or not kind.namespaced:
                continue
            inside = [record for record in collection.within(namespace) if not record.dying]
            self._deleting.delete_all(kind, inside, DeleteOptions(propagation=BACKGROUND))
            left = left or next(collection.within(namespace), None) is not None
        if left:
            return
        obj = home.manifest()
        obj["spec"] = {}
        kind = self._cluster.kinds.at("", "v1", NAMESPACES)
        if finished(kind, obj):
            self._cluster.storage.remove(self._cluster.collection(kind), home.key)
        else:
            self._cluster.storage.put(self._cluster.collection(kind), home.key, obj)

    def _empty_kind(self, definition: str) -> None:
        crd, kind = self._cluster.find(CRDS, definition), self._cluster.kinds.keeping(definition)
        if crd is None or not crd.dying:
            return
        collection = self._cluster.storage.collection(definition)
        if kind is not None:
            inside = [record for record in collection.within() if not record.dying]
            self._deleting.delete_all(kind, inside, DeleteOptions(propagation=BACKGROUND))
        if not collection.records:
            release(self._cluster, self._cluster.kinds.at(*DEFINITION), crd, CLEANUP)
