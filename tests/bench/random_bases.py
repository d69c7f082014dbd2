"""Make bases with the shape of real ones and random weights, where they are not there yet.

    folder = random_bases.made("Qwen2.5-0.5B", bases)           Qwen2.5-0.5B in the folder `bases`
    folder = random_bases.made("Qwen2.5-7B", bases, layers=4)   with four layers of them

Speed and memory are those of the real ones, without a hub. `tools/random_base.py` makes them.
"""

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[2] / "tools" / "random_base.py"


def made(shape: str, bases: Path, *, layers: int = 0, name: str = "") -> Path:
    """Return the folder of a base of this shape.

    Args:
        bases: where bases are kept.
        layers: how many it gets; 0 is all of them.
        name: of its folder; the usual one tells its shape.
    """
    options = ["--layers", str(layers)] if layers else []
    folder = bases / (name or "-".join([shape, *options[1:]]))
    # Written last of all, so one whose making was interrupted is made again.
    if not (folder / "tokenizer.json").is_file():
        command = [sys.executable, str(TOOL), shape, str(folder), *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder
