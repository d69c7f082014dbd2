"""Say which pages the site has: where each comes from, and where it is in an edition.

    edition("zh")                 every page of the Chinese edition, by section
    Page.name                     its place in the edition, without a suffix: `guides/room`
    Page.source                   the file of the repository that it shows

A page has its source in the edition's language where there is one, `room.zh-CN.md` or
`notebooks/en/…`; else the other language's, and a note on the page says so. A new guide in `docs/`
and a new notebook need no line here; a new helper module does.
"""

from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
LANGUAGES = ("zh", "en")

GUIDES = (
    *("commands", "anywhere", "real_base", "room", "room_hub", "cluster", "scale", "engines"),
    *("take_home", "siliconcloud"),
)
"""The order of the guides. Others of `docs/` follow them."""

HELPERS = (
    *("connect", "data", "params", "panel", "bases", "jobs", "compare", "synthesize"),
    *("zhishuo", "tokens", "chatml", "exports", "siliconcloud", "errors"),
)
"""The modules of `cookbook` that readers import; `connect` is the package itself."""

REFERENCE = {"helpers": "helpers/index", "api": "http_api"}
PROJECT = {"design": "project/design", "site": "project/site"}
BESIDE = {
    "CONTRIBUTING.md": "project/contributing",
    "CHANGELOG.md": "project/changelog",
    "data/README.md": "project/data",
    "data/models/tiny-zh/README.md": "project/model_card",
    "tests/bench/RESULTS.md": "project/results",
    "tests/bench/vllm.md": "project/vllm",
}
"""Pages whose source is outside `docs/` and `notebooks/`."""

TITLES = {
    "http_api": "HTTP API",
    "project/contributing": "参与开发",
    "project/changelog": "更新记录",
    "project/data": "数据",
    "project/model_card": "教学模型 tiny-zh",
    "project/results": "测量结果",
    "project/vllm": "在真的 vLLM 上",
}
"""What the Chinese edition calls pages that exist in English alone."""

SECTIONS = {
    "course": ("课程", "Course"),
    "guides": ("指南", "Guides"),
    "reference": ("参考", "Reference"),
    "project": ("项目", "Project"),
}


@dataclass(frozen=True)
class Page:
    """One page of one edition. `language` is that of its source; a helper has no source text."""

    name: str
    source: str
    language: str

    @property
    def file(self) -> Path:
        return ROOT / self.source


@dataclass
class Edition:
    """The pages of one language, by section, and the home page before them."""

    language: str
    home: Page
    sections: dict[str, list[Page]] = field(default_factory=dict)

    @property
    def pages(self) -> list[Page]:
        return [self.home, *(page for pages in self.sections.values() for page in pages)]


def edition(language: str) -> Edition:
    """Return the pages of one language."""
    return Edition(
        language,
        home=_twin("README", "index", language),
        sections={
            "course": _course(language),
            "guides": _guides(language),
            "reference": _reference(language),
            "project": _project(language),
        },
    )


def _twin(stem: str, name: str, language: str) -> Page:
    """Return a page of `stem.md` and `stem.zh-CN.md`, of which one may be missing."""
    sources = {"zh": f"{stem}.zh-CN.md", "en": f"{stem}.md"}
    there = [one for one in LANGUAGES if (ROOT / sources[one]).exists()]
    chosen = language if language in there else there[0]
    return Page(name, sources[chosen], chosen)


def _course(language: str) -> list[Page]:
    pages = []
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        english = f"notebooks/en/{path.name}"
        chosen = "en" if language == "en" and (ROOT / english).exists() else "zh"
        source = english if chosen == "en" else f"notebooks/{path.name}"
        pages.append(Page(f"course/{path.stem}", source, chosen))
    return pages


def _guides(language: str) -> list[Page]:
    stems = {path.name.removesuffix(".md").removesuffix(".zh-CN") for path in _documents()}
    others = sorted(stems - {*GUIDES, *REFERENCE, *PROJECT})
    known = [stem for stem in GUIDES if stem in stems]
    return [_twin(f"docs/{stem}", f"guides/{stem}", language) for stem in [*known, *others]]


def _documents() -> list[Path]:
    return list((ROOT / "docs").glob("*.md"))


def _reference(language: str) -> list[Page]:
    written = [_twin(f"docs/{stem}", name, language) for stem, name in REFERENCE.items()]
    helpers = [Page(f"helpers/{name}", module_file(name), "en") for name in HELPERS]
    return [written[0], *helpers, *written[1:]]


def module_file(name: str) -> str:
    """Return the file of a helper, from the root of the repository."""
    if name == "connect":
        return "cookbook/__init__.py"
    package = f"cookbook/{name}/__init__.py"
    return package if (ROOT / package).exists() else f"cookbook/{name}.py"


def _project(language: str) -> list[Page]:
    pages = [_twin(f"docs/{stem}", name, language) for stem, name in PROJECT.items()]
    pages += [Page(name, source, "en") for source, name in BESIDE.items()]
    return pages
