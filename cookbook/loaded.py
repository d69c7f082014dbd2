"""Tell whether a library was replaced on the disk after this process had loaded it.

`%pip install` in a running kernel does that, on Colab and Kaggle for example, where an older
version is part of the image. The kernel goes on with the old one, and errors come later, in places
that say nothing of it. Nothing is imported here.
"""

import sys
import warnings
from importlib import metadata

from cookbook.i18n import tr

LIBRARIES = ("openai", "httpx", "pydantic", "pandas", "numpy", "matplotlib", "ipywidgets")
"""What notebooks load and images bring along; module and package have one name."""


def replaced() -> list[str]:
    """Return the libraries that are loaded in another version than the installed one."""
    found = []
    for name in LIBRARIES:
        loaded = getattr(sys.modules.get(name), "__version__", None)
        if loaded is None:
            continue
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if installed != loaded:
            found.append(f"{name} {loaded} → {installed}")
    return found


def warn() -> None:
    """Warn, in the line that called the caller, of libraries that were replaced.

    Warns:
        UserWarning: the kernel must be restarted, and why.
    """
    found = replaced()
    if not found:
        return
    listed = tr("、", ", ").join(found)
    text = tr(
        f"这个内核里还是旧版本的库（{listed}）：重启内核，再从第一格起运行",
        f"this kernel has loaded older libraries than those installed ({listed}): "
        "restart it, then run the cells from the first one",
    )
    warnings.warn(text, UserWarning, stacklevel=3)
