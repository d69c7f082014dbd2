"""Write the sources of one edition as Sphinx reads them: one folder, one language, no repository.

The files of the repository stay as they are on a code host. Here each is copied to its place in
the edition, with links of the site; notebooks keep their stored outputs and are never run.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from cookbook.html import WIDGET
from website.links import Links
from website.pages import HELPERS, ROOT, SECTIONS, TITLES, Edition, Page

_OWN_FILE = re.compile(r'<a href="(?![a-z]+:|#)[^"]*"[^>]*>([^<]*)</a>')

ONLY = {
    ("zh", "en"): "这一页只有英文。",
    ("en", "zh"): "This page exists in Chinese only.",
}
DOCSTRINGS = "这一页由 docstring 生成，只有英文；中文介绍见 :doc:`index`。"
DOWNLOAD = {
    "zh": "{download}`下载这本笔记本 <{file}>`，在自己的机器上运行每一格。",
    "en": "{download}`Download this notebook <{file}>` and run every cell on your own machine.",
}


def write(links: Links, folder: Path) -> None:
    """Write the sources of the edition of `links` into an empty folder."""
    edition = links.edition
    for page in edition.pages:
        if page.source.endswith(".ipynb"):
            _write_notebook(page, links, folder)
        elif page.source.endswith(".py"):
            _write_module(page, edition, folder)
        else:
            text = links.rewritten(page.file.read_text(encoding="utf-8"), page)
            if page == edition.home:
                text += _trees(edition)
            _write(folder / f"{page.name}.md", _noted(text, page, edition))
    _write_helper_tree(folder)
    # Sphinx writes compiled catalogues beside their sources.
    shutil.copytree(Path(__file__).parent / "locale", folder / "locale")
    pictures = folder / "pictures"
    pictures.mkdir()
    for picture in [*ROOT.glob("docs/*.png"), *ROOT.glob("tests/bench/*.png")]:
        shutil.copy(picture, pictures)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _noted(text: str, page: Page, edition: Edition) -> str:
    """Return the text with a note below its title, if it is in the other language."""
    sentence = ONLY.get((edition.language, page.language))
    if sentence is None:
        return text
    title, _, rest = text.partition("\n")
    return f"{title}\n\n:::{{note}}\n{sentence}\n:::\n{rest}"


def _trees(edition: Edition) -> str:
    """Return the navigation: a toctree for each section."""
    position = 0 if edition.language == "zh" else 1
    trees = []
    for section, pages in edition.sections.items():
        # Helpers are below their own page, see `_write_helper_tree`.
        entries = [_entry(page, edition) for page in pages if not page.source.endswith(".py")]
        caption = SECTIONS[section][position]
        trees.append(_tree(entries, f":caption: {caption}"))
    return "\n" + "\n".join(trees)


def _tree(entries: list[str], *options: str) -> str:
    lines = ["```{toctree}", ":hidden:", *options, "", *entries, "```", ""]
    return "\n".join(lines)


def _entry(page: Page, edition: Edition) -> str:
    title = TITLES.get(page.name) if edition.language == "zh" else None
    return f"{title} <{page.name}>" if title else page.name


def _write_module(page: Page, edition: Edition, folder: Path) -> None:
    """Write the page of a helper module: what its docstrings say."""
    name = page.name.removeprefix("helpers/")
    module = "cookbook" if name == "connect" else f"cookbook.{name}"
    lines = [module, "=" * len(module), ""]
    if edition.language == "zh":
        lines += [".. note::", "", f"   {DOCSTRINGS}", ""]
    lines += [f".. automodule:: {module}", "   :members:", ""]
    _write(folder / f"{page.name}.rst", "\n".join(lines))


def _write_notebook(page: Page, links: Links, folder: Path) -> None:
    notebook = json.loads(page.file.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = links.rewritten("".join(cell["source"]), page)
        else:
            cell["outputs"] = [_shown(one) for one in cell["outputs"] if not _is_note(one)]
    first = notebook["cells"][0]
    first["source"] = _noted(first["source"] + "\n", page, links.edition)
    downloaded = folder / "downloads" / Path(page.source).name
    downloaded.parent.mkdir(exist_ok=True)
    shutil.copy(page.file, downloaded)
    sentence = DOWNLOAD[links.edition.language].replace("{file}", f"../downloads/{downloaded.name}")
    first["source"] += f"\n{sentence}\n"
    _write(folder / f"{page.name}.ipynb", json.dumps(notebook, ensure_ascii=False))


def _shown(output: dict[str, Any]) -> dict[str, Any]:
    """Return an output without what needs a kernel or the reader's own files.

    Of a widget its stand-in is left, of a link to a file that the notebook wrote its text.
    """
    bundle = {kind: value for kind, value in output.get("data", {}).items() if kind != WIDGET}
    if "text/html" in bundle:
        bundle["text/html"] = _OWN_FILE.sub(r"\1", "".join(bundle["text/html"]))
    return output | {"data": bundle} if bundle else output


def _is_note(output: dict[str, Any]) -> bool:
    """Return whether an output only says that a widget is dead, as each is on a page."""
    return "cookbook-dead" in "".join(output.get("data", {}).get("text/html", ""))


def _write_helper_tree(folder: Path) -> None:
    """Add the navigation of the helper modules to their page."""
    with (folder / "helpers" / "index.md").open("a", encoding="utf-8") as file:
        file.write("\n" + _tree(list(HELPERS)))
