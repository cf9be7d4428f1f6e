"""What docs/joining.md has people try, typed into a shell."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.registry.conftest import Hands

PAGE = (Path(__file__).parents[2] / "docs" / "joining.md").read_text()


def test_what_one_is_to_try_works_as_it_stands_there(hands: Hands) -> None:
    block = re.search(r"(?s)## Try it here.*?```sh\n(.*?)```", PAGE)
    assert block
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", block[1]],
        env=os.environ | {"XDG_STATE_HOME": str(hands.home), "PATH": path},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "This cluster is member west of set isthmus." in done.stdout
    assert done.stdout.count("this cluster is in no set") == 2
    assert not hands.objects("hub", "members")
    # Definitions stayed, as it says there; the next test begins without.
    for cluster in ("east", "west"):
        definitions = {name.rpartition("/")[2] for name in hands.on_member(cluster)}
        assert definitions == {
            "clusterproperties.about.k8s.io",
            "serviceexports.multicluster.x-k8s.io",
            "serviceimports.multicluster.x-k8s.io",
        }
        hands.kubectl_well(cluster, "delete", "crd", *definitions)
