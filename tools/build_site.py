"""Build the site: both editions, each with its navigation and search, and a page that leads to them.

    python tools/build_site.py [FOLDER]        `make site` does it, with what it needs installed

Promises: every warning of Sphinx is an error; no notebook is run; the pages ask no other host for
anything. `SITE_REPOSITORY`, such as https://host/owner/name/blob/main, makes links of those to
files that are not on the site; without it they are shown as paths.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from website import links, pages, stage

HERE = Path(__file__).parent / "website"


def build(out: Path) -> int:
    """Build both editions into a folder, which is replaced. Return 0, or Sphinx's exit status."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as work:
        running = [_start(language, Path(work), out) for language in pages.LANGUAGES]
        statuses = [process.wait() for process in running]
    shutil.copy(HERE / "root.html", out / "index.html")
    # GitHub Pages would leave out folders that begin with an underscore.
    (out / ".nojekyll").touch()
    return max(statuses)


def _start(language: str, work: Path, out: Path) -> subprocess.Popen[bytes]:
    """Write the sources of one edition and start Sphinx on them."""
    sources = work / language
    here, other = (pages.edition(one) for one in (language, _other(language)))
    repository = os.environ.get("SITE_REPOSITORY", "").rstrip("/")
    stage.write(links.Links(here, other, repository), sources)
    options = ["-W", "--keep-going", "-q", "-b", "html", "-c", str(HERE)]
    folders = ["-d", str(work / f"{language}.doctrees"), str(sources), str(out / language)]
    path = os.pathsep.join([str(HERE.parent), str(pages.ROOT)])
    said = os.environ | {"SITE_LANGUAGE": language, "COOKBOOK_LANG": language, "PYTHONPATH": path}
    return subprocess.Popen([sys.executable, "-m", "sphinx", *options, *folders], env=said)


def _other(language: str) -> str:
    return next(one for one in pages.LANGUAGES if one != language)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else pages.ROOT / "site")
    sys.exit(build(target))
