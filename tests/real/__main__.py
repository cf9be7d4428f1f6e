"""`make real`: builds all real clusters that this machine can run."""

import shutil
import sys

from tests.real import build, images, machine


def say(words: str) -> None:
    """One line for the person at the terminal."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def main() -> None:
    """Build control planes and Helm; as root, install and build what nodes need on top."""
    for version in (build.VERSION, build.OLDER):
        say(f"control planes {version}: {build.kubernetes(version).build()}")
    say(f"Helm {build.HELM_VERSION}: {build.HELM.build()}")
    if reason := machine.lacks():
        say(f"left out: node clusters: {reason}")
        return
    if packages := machine.missing_packages():
        if not shutil.which("apt-get"):
            say(f"left out: node clusters: there is no apt-get here. Install: {' '.join(packages)}")
            return
        say(f"node clusters: installing {' '.join(packages)}")
        machine.install(packages)
    for image in images.all_images():
        say(f"node clusters: {image}")


if __name__ == "__main__":
    main()
