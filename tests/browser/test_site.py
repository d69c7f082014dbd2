"""The site is built with every warning an error; every link is followed; some pages are opened."""

import functools
import os
import subprocess
import threading
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-site" / ("Scripts" if os.name == "nt" else "bin") / "python"
PAGES = ("index.html", "course/04_zhishuoxinyu.html", "helpers/data.html")
SIZES = {"desktop": (1360, 900), "phone": (390, 844)}


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the site, built once."""
    if not PYTHON.exists():
        reason = "no .venv-site: make .venv-site/ready"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    folder = tmp_path_factory.mktemp("site")
    command = [PYTHON, ROOT / "tools" / "build_site.py", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


class Links(HTMLParser):
    """What a page links to, what it loads, and the places in it that have a name."""

    def __init__(self, path):
        super().__init__()
        self.targets, self.loaded, self.names, self.language = [], [], set(), None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.names |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "html":
            self.language = found.get("lang")
        if tag == "a" and found.get("href") is not None:
            self.targets.append(found["href"])
        if tag == "link" and found.get("href"):
            self.loaded.append(found["href"])
        self.loaded += [found[key] for key in ("src", "srcset") if found.get(key)]


@pytest.fixture(scope="session")
def pages(site):
    """path -> what is in it, of every page of the site."""
    return {path: Links(path) for path in site.rglob("*.html")}


def test_every_link_leads_to_a_page_and_a_place_in_it(pages):
    broken = []
    for path, page in pages.items():
        for target in page.targets + page.loaded:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                valid = (
                    parts.scheme in ("http", "https") and parts.hostname or parts.scheme == "data"
                )
                broken += [] if valid else [(path.name, target)]
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            if not file.is_file() or (place and file in pages and place not in pages[file].names):
                broken.append((path.name, target))
    assert broken == []
    assert sum(len(page.targets) for page in pages.values()) > 1000


def test_no_page_loads_anything_from_elsewhere(site, pages):
    loaded = {target for page in pages.values() for target in page.loaded}
    assert {urlsplit(target).scheme for target in loaded} <= {"", "data"}
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert "@import" not in text and "url(http" not in text and "url(//" not in text


def test_every_page_has_the_language_of_its_edition_and_leads_to_the_other(site, pages):
    for edition, language, other in (("zh", "zh-CN", "en"), ("en", "en", "zh")):
        for path, page in pages.items():
            if path.is_relative_to(site / edition):
                twin = [one for one in page.targets if f"../{other}/" in one]
                assert page.language == language and twin, path


def test_both_editions_have_the_same_pages(site):
    names = [
        {path.relative_to(site / one) for path in (site / one).rglob("*.html")}
        for one in ("zh", "en")
    ]
    assert names[0] == names[1]
    course = [path for path in names[0] if path.parts[0] == "course"]
    assert len(course) == len(list((ROOT / "notebooks").glob("*.ipynb")))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def address(site):
    """The site as a server has it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def opened(chromium, address):
    """Open a page; a request to another host, or an error of a script, fails the test."""
    contexts, wrong = [], []

    def open_(path, size="desktop", scheme="light", **options):
        width, height = SIZES[size]
        view = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
        contexts.append(chromium.new_context(**view, **options))
        page = contexts[-1].new_page()

        def answer(route):
            if route.request.url.startswith((address, "data:")):
                route.continue_()
                return
            wrong.append(route.request.url)
            route.abort()

        page.route("**/*", answer)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{address}/{path}")
        page.wait_for_load_state("networkidle")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("edition", ["zh", "en"])
def test_pages_fit_their_window_and_keep_to_their_host(opened, edition, size, scheme):
    for path in PAGES:
        page = opened(f"{edition}/{path}", size, scheme)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.locator("article h1").is_visible()
        assert page.locator(".site-twin >> visible=true").count() == 1
        if shots := os.environ.get("SITE_SHOTS"):
            page.screenshot(path=Path(shots) / f"{edition}-{Path(path).stem}-{size}-{scheme}.png")


def test_outputs_are_dark_text_on_a_light_card_in_the_dark(opened):
    page = opened("zh/course/04_zhishuoxinyu.html", scheme="dark")
    output = page.locator(".output.text_html").first
    colours = output.evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    )
    text, card = [[int(part) for part in one[4:-1].split(",")] for one in colours]
    assert max(text) < 60 and min(card) > 220


def test_a_wide_table_scrolls_by_itself_on_a_phone(opened):
    page = opened("zh/course/01_prepare_data.html", "phone")
    scrolls = "all => all.filter(e => e.scrollWidth > e.clientWidth).length"
    assert page.eval_on_selector_all(".output.text_html", scrolls) > 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


SEARCHES = [
    ("zh", "检查点", "03_launch_and_monitor"),
    ("zh", "学习速率", "02_choose_parameters"),
    ("zh", "内嵌服务", "guides/room"),
    ("zh", "LoRA 微调", "00_quickstart"),
    ("en", "checkpoint", "03_launch_and_monitor"),
    ("en", "learning rate", "02_choose_parameters"),
    ("en", "bitsandbytes", "guides/real_base"),
    ("en", "五道口", "04_zhishuoxinyu"),
]


@pytest.mark.parametrize("edition, query, page_name", SEARCHES)
def test_the_search_finds_the_page_among_its_first(opened, edition, query, page_name):
    page = opened(f"{edition}/index.html")
    page.locator(".sidebar-search").fill(query)
    page.locator(".sidebar-search").press("Enter")
    page.locator("#search-results li a").first.wait_for()
    page.wait_for_load_state("networkidle")
    links = page.eval_on_selector_all(
        "#search-results ul.search > li > a", "all => all.map(e => e.getAttribute('href'))"
    )
    assert any(page_name in link for link in links[:6]), links


def test_a_search_for_what_is_nowhere_finds_nothing(opened):
    page = opened("zh/search.html?q=鲸鱼座")
    page.get_by_text("没有匹配").first.wait_for()
    assert page.locator("#search-results ul.search > li").count() == 0


LOCALES = [("zh-CN", "zh"), ("en-GB", "en"), ("fr-FR", "en")]


@pytest.mark.parametrize("locale, edition", LOCALES)
def test_the_root_leads_to_the_readers_language(opened, address, locale, edition):
    page = opened("", locale=locale)
    page.wait_for_url(f"{address}/{edition}/index.html")


def test_without_scripts_the_root_has_both_links(opened):
    page = opened("", java_script_enabled=False)
    links = page.locator("a")
    assert [link.get_attribute("href") for link in links.all()] == [
        "zh/index.html",
        "en/index.html",
    ]


def test_the_switch_leads_to_the_same_page(opened, address):
    page = opened("zh/guides/room.html")
    page.locator(".site-twin >> visible=true").click()
    page.wait_for_url(f"{address}/en/guides/room.html")
