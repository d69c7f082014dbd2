"""The pages that the project writes load nothing: neither scripts nor fonts nor pictures."""

import re
from html.parser import HTMLParser

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from cookbook import compare, execute

PANEL = "from cookbook.panel import ParameterPanel\nParameterPanel(task_name='seen')"
PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
LOADING = (
    "from IPython.display import HTML\n"
    'HTML(\'<img src="https://host.example/a.png"><script src="//host.example/b.js"></script>\')'
)
DIAGRAM = "display({'text/vnd.mermaid': 'graph TD; A-->B'}, raw=True)"
SLIDER = "import ipywidgets\nipywidgets.IntSlider(value=73)"


class Addresses(HTMLParser):
    """Collect what a browser would fetch, and what each script says."""

    def __init__(self):
        super().__init__()
        self.fetched, self.scripts, self.policy = [], [], ""
        self._in_script = False

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self._in_script = tag == "script"
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"]
        for name in ("src", "srcset", "poster", "data", "background"):
            if found.get(name):
                self.fetched.append(found[name])
        if tag == "link":
            self.fetched.append(found.get("href"))

    def handle_data(self, text):
        if self._in_script:
            self.scripts.append(text)


def parsed(page: str) -> Addresses:
    found = Addresses()
    found.feed(page)
    return found


def run(tmp_path, *cells) -> str:
    path = tmp_path / "seen.ipynb"
    nbformat.write(new_notebook(cells=list(cells)), path)
    return execute.run(path, tmp_path / "pages").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    sources = (PANEL, PLOT, DIAGRAM, SLIDER)
    cells = [new_code_cell(source) for source in sources]
    return run(tmp_path_factory.mktemp("run"), *cells, new_markdown_cell("$a^2$"))


def test_a_run_page_names_no_address_to_load(page):
    found = parsed(page)
    assert all(address.startswith("data:") for address in found.fetched)
    assert not re.search(r"https?:|import\(|\.src\s*=", "".join(found.scripts))
    assert not re.search(r"url\(\s*['\"]?(?!data:|['\"]?#)", page)


def test_a_run_page_shows_the_panels_values_the_plot_and_what_stands_in_for_a_widget(page):
    assert "learning_rate" in page and "0.0001" in page
    assert "data:image/png;base64," in page
    assert "value=73" in page and "graph TD" in page and "$a^2$" in page


def test_what_a_cell_or_a_text_asks_for_is_refused_by_the_pages_own_policy(tmp_path):
    picture = new_markdown_cell("![](https://host.example/c.png)")
    found = parsed(run(tmp_path, new_code_cell(LOADING), picture))
    assert len(found.fetched) == 3
    assert "default-src 'none'" in found.policy and "host" not in found.policy


def test_a_comparison_page_loads_nothing_and_says_so_to_the_browser(tmp_path):
    text = '<img src="https://host.example/a.png">'
    answers = pd.DataFrame([{"column": text, "input": text, "answer": text}])
    page = compare.side_by_side(answers).to_html(tmp_path / "a.html", title=text)
    found = parsed(page.read_text(encoding="utf-8"))
    assert found.fetched == [] and "default-src 'none'" in found.policy


def test_the_notebook_file_keeps_its_widgets(tmp_path):
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(SLIDER)]), path)
    before = path.read_bytes()
    execute.run(path, tmp_path)
    assert path.read_bytes() == before
