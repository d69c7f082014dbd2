"""The wheel of this checkout, and environments that borrow every library but the project itself."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def built(folder):
    """Build the wheel into a folder and return its path."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    subprocess.run([*PIP, "wheel", *options, CHECKOUT], check=True)
    return next(folder.glob("*.whl"))


def borrowing(folder):
    """Make an environment without the project and return its interpreter.

    The libraries are links, one by one: pip would take the project as installed where the folder of
    an editable installation is read, and its .pth file leads to the checkout.
    """
    links = folder / "borrowed"
    links.mkdir(parents=True)
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if path.suffix != ".pth" and "siliconcloud" not in path.name:
            (links / path.name).symlink_to(path)
    environment = folder / "environment"
    venv.create(environment, with_pip=False, symlinks=os.name != "nt")
    scheme = {"base": str(environment), "platbase": str(environment)}
    own = Path(sysconfig.get_path("purelib", "venv", scheme))
    (own / "borrowed.pth").write_text(f"{links}\n", encoding="utf-8")
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install(wheel, python):
    """Install the wheel alone into an environment."""
    options = ["--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run([*PIP, "--python", str(python), "install", *options], check=True)
