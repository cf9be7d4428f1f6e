"""The image's recipe, as far as it can be tried without an engine: which packages it installs, and as whom it runs."""

import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

from isthmus.install.workloads import IMAGE, Workload, workload

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "Containerfile").read_text()


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def needed(requirement: str) -> set[str]:
    """A package and all that it needs on this machine."""
    found = {name_of(requirement)}
    for each in importlib.metadata.requires(name_of(requirement)) or ():
        if "extra ==" not in each and not re.search(r"python_version *< *['\"]3\.1[01]", each):
            found |= needed(each) if installed(name_of(each)) else set()
    return found


def installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def test_it_installs_what_the_processes_need_and_nothing_that_only_embedded_clusters_do(tmp_path: Path) -> None:
    (program,) = re.findall(r"RUN (awk '.*?' run\.txt > needed\.txt)", RECIPE, re.DOTALL)
    (tmp_path / "run.txt").write_text((ROOT / "requirements" / "run.txt").read_text())
    subprocess.run(["sh", "-c", program.replace("\\\n", " ")], cwd=tmp_path, check=True)
    kept = (tmp_path / "needed.txt").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = set().union(*(needed(each) for each in project["dependencies"]))
    assert set(re.findall(r"(?m)^([a-z0-9-]+)==", kept)) == wanted
    assert len(re.findall(r"--hash=", kept)) >= len(wanted)


def test_it_runs_as_the_user_that_the_manifests_say_and_is_tagged_as_they_expect() -> None:
    _, deployment, _ = workload(Workload("isthmus-agent", IMAGE, ("agent",)))
    pod = deployment["spec"]["template"]["spec"]
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}\n" in RECIPE
    assert 'ENTRYPOINT ["isthmus"]' in RECIPE
    assert f"-t {IMAGE} ." in RECIPE
