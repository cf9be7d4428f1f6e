import subprocess
import sys


def test_no_line_of_an_error_is_forged_by_what_it_tells_of() -> None:
    line = ["conformance", "mcs", "--contexts", "a", "--skip", "x\nisthmus: all is well\x1b[2J"]
    done = subprocess.run(
        [sys.executable, "-m", "isthmus.cli.main", *line], capture_output=True, text=True, check=False
    )
    assert done.returncode
    first, *further = done.stderr.removesuffix("\n").split("\n")
    assert first.startswith("isthmus: ")
    assert all(line.startswith("  ") for line in further), done.stderr
    assert all(line.isprintable() for line in (first, *further))
