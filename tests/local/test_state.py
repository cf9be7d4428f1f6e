from pathlib import Path

import pytest

from isthmus.errors import Invalid
from isthmus.local.state import ClusterRecord, SetFiles, SetRecord, checked_name, known_sets


def test_a_set_is_read_as_it_was_written(tmp_path: Path) -> None:
    files = SetFiles("prod", tmp_path)
    record = SetRecord(clusters={"hub": ClusterRecord(number=0, port=1), "east": ClusterRecord(number=1, port=2)})
    files.write(record)
    assert files.read() == record
    assert known_sets(tmp_path) == ["prod"]
    assert files.folder.stat().st_mode & 0o077 == 0, "others must not read kubeconfigs"


def test_a_set_that_was_never_made_is_empty(tmp_path: Path) -> None:
    assert SetFiles("prod", tmp_path).read() == SetRecord()


def test_a_broken_record_names_its_file_and_the_next_step(tmp_path: Path) -> None:
    files = SetFiles("prod", tmp_path)
    files.write(SetRecord())
    (files.folder / "set.json").write_text('{"clusters": 7}')
    with pytest.raises(Invalid, match=r"set\.json.*isthmus down --set prod"):
        files.read()


@pytest.mark.parametrize("name", ["", "East", "a_b", "-a", "a-", "a" * 51, "a.b", "../x", "hub", "members", "system"])
def test_a_name_that_cannot_be_a_label_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="cluster name"):
        checked_name(name, "cluster")


def test_numbers_are_given_once() -> None:
    record = SetRecord().with_cluster("east", ClusterRecord(number=1, port=1))
    record = record.with_cluster("west", ClusterRecord(number=3, port=2))
    assert record.free_number() == 2


def test_a_path_too_long_for_a_socket_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="XDG_STATE_HOME"):
        SetFiles("prod", tmp_path / ("x" * 100)).kubelet_socket("east")
