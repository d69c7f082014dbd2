"""Build the site: both editions, each with navigation and search, and a page that leads to them.

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
    """Build both editions into a folder, which is replaced; return the exit status of Sphinx."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for language in pages.LANGUAGES:
            _write_sources(language, work)
        running = [_start(language, work, out) for language in pages.LANGUAGES]
        statuses = [process.wait() for process in running]
    # MyST-NB leaves a copy of the notebooks' pictures beside the editions.
    shutil.rmtree(out / "jupyter_execute", ignore_errors=True)
    shutil.copy(HERE / "root.html", out / "index.html")
    # GitHub Pages would leave out folders that begin with an underscore.
    (out / ".nojekyll").touch()
    # Of a process that was killed it is negative.
    return next((status for status in statuses if status), 0)


def _write_sources(language: str, work: Path) -> None:
    here, other = (pages.edition(one) for one in (language, _other(language)))
    repository = os.environ.get("SITE_REPOSITORY", "").rstrip("/")
    stage.write(links.Links(here, other, repository), work / language)


def _start(language: str, work: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start Sphinx on the sources of one edition."""
    options = ["-W", "--keep-going", "-q", "-b", "html", "-c", str(HERE)]
    folders = ["-d", str(work / f"{language}.doctrees"), str(work / language)]
    path = os.pathsep.join([str(HERE.parent), str(pages.ROOT)])
    own = {"SITE_LANGUAGE": language, "COOKBOOK_LANG": language, "PYTHONPATH": path}
    command = [sys.executable, "-m", "sphinx", *options, *folders, out / language]
    return subprocess.Popen(command, env=os.environ | own)


def _other(language: str) -> str:
    return next(one for one in pages.LANGUAGES if one != language)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else pages.ROOT / "site")
    try:
        sys.exit(build(target))
    except links.BrokenLink as error:
        sys.exit(f"broken link: {error}")
