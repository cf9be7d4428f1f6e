import subprocess
import sys


def test_an_error_is_one_line_whatever_it_tells_of() -> None:
    line = ["conformance", "mcs", "--contexts", "a", "--skip", "x\nisthmus: all is well\x1b[2J"]
    done = subprocess.run(
        [sys.executable, "-m", "isthmus.cli.main", *line], capture_output=True, text=True, check=False
    )
    assert done.returncode
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.removesuffix("\n").isprintable()
