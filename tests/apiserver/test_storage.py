from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.api.scheme import Manifest
from isthmus.apiserver.disk import Disk
from isthmus.apiserver.storage import Storage
from isthmus.errors import Gone, Invalid


def obj(name: str, namespace: str = "n", **fields: object) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, **fields}


writes = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["m", "n"]), st.booleans()), max_size=40)


@given(writes)
def test_the_past_is_what_it_was(sequence: list[tuple[str, str, bool]]) -> None:
    storage = Storage(None, 100)
    things = storage.collection("things")
    seen: dict[int, list[bytes]] = {storage.revision: []}
    for name, namespace, remove in sequence:
        key = (namespace, name)
        if remove and things.get(key) is not None:
            storage.remove(things, key)
        else:
            storage.put(things, key, obj(name, namespace))
        seen[storage.revision] = [record.body for record in things.within()]
    for revision, bodies in seen.items():
        assert [record.body for record in things.at(revision)] == bodies
        inside = [record.body for record in things.at(revision, "n")]
        assert inside == [body for body in bodies if b'"namespace":"n"' in body]


@settings(max_examples=40)
@given(writes)
def test_a_restart_finds_what_was_there_and_counts_on(
    tmp_path_factory: pytest.TempPathFactory, sequence: list[tuple[str, str, bool]]
) -> None:
    path = tmp_path_factory.mktemp("disk") / "state.db"
    storage = Storage(Disk(path), 100)
    things = storage.collection("things")
    for name, namespace, remove in sequence:
        key = (namespace, name)
        if remove and things.get(key) is not None:
            storage.remove(things, key)
        else:
            storage.put(things, key, obj(name, namespace))
    before = [(record.key, record.revision, record.body) for record in things.within()]
    storage.close()
    again = Storage(Disk(path), 100)
    found = [(record.key, record.revision, record.body) for record in again.collection("things").within()]
    assert (found, again.revision) == (before, storage.revision)
    again.close()


def test_the_past_before_the_window_is_gone() -> None:
    storage = Storage(None, 2)
    things = storage.collection("things")
    for count in range(10):
        storage.put(things, ("n", "a"), obj("a", data=count))
    with pytest.raises(Gone):
        things.at(2)


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    storage = Storage(Disk(tmp_path / "state.db"), 100)
    things = storage.collection("things")
    storage.put(things, ("n", "a"), obj("a"))
    storage.limit_disk(0)
    before = storage.revision
    with pytest.raises(OSError, match="full"):
        storage.put(things, ("n", "b"), obj("b", data="x" * 1_000_000))
    assert (storage.revision, things.get(("n", "b"))) == (before, None)
    storage.close()


def test_nobody_changes_a_record_by_accident() -> None:
    storage = Storage(None, 10)
    things = storage.collection("things")
    sent = obj("a")
    record = storage.put(things, ("n", "a"), sent)
    sent["metadata"]["name"] = "changed"
    record.manifest()["metadata"]["name"] = "changed too"
    assert record.manifest()["metadata"]["name"] == "a"


def test_a_file_is_of_one_server_at_a_time(tmp_path: Path) -> None:
    first = Disk(tmp_path / "state.db")
    with pytest.raises(Invalid, match="locked"):
        Disk(tmp_path / "state.db")
    first.close()
    Disk(tmp_path / "state.db").close()


def test_a_file_that_is_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"nonsense" * 1000)
    with pytest.raises(Invalid, match=r"state\.db cannot be used"):
        Disk(tmp_path / "state.db")
