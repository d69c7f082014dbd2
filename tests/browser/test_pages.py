"""The pages that the project writes, opened in a browser whose every request is recorded."""

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from cookbook import compare, execute

HOSTILE = (
    '<img src="https://host.example/a.png"><script src="https://host.example/b.js"></script>'
    '<link rel="stylesheet" href="https://host.example/c.css">'
    '<iframe src="https://host.example"></iframe>'
    "<style>@import url(https://host.example/d.css)</style>"
    "<script>fetch('https://host.example/e'); new Image().src = 'https://host.example/f'</script>"
)


@pytest.fixture
def opened(chromium):
    """path -> (the page, the addresses beyond it that it asked for)."""
    pages = []

    def open_(path):
        page = chromium.new_page()
        pages.append(page)
        asked = []

        def answer(route):
            url = route.request.url
            if url == path.as_uri() or url.startswith("data:"):
                route.continue_()
                return
            asked.append(url)
            route.abort()

        page.route("**/*", answer)
        page.goto(path.as_uri())
        page.wait_for_load_state("networkidle")
        return page, asked

    yield open_
    for page in pages:
        page.close()


def test_a_run_page_shows_panel_and_plot_and_asks_nobody(opened, tmp_path):
    sources = [
        "from cookbook.panel import ParameterPanel\nParameterPanel()",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
        "display({'text/vnd.mermaid': 'graph TD; A-->B'}, raw=True)",
        f"from IPython.display import HTML\nHTML({HOSTILE!r})",
    ]
    cells = [new_code_cell(source) for source in sources]
    cells.append(new_markdown_cell("![](https://host.example/g.png) $a^2$"))
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    page, asked = opened(execute.run(path, tmp_path))
    assert asked == []
    assert page.get_by_text("learning_rate").first.is_visible()
    assert page.locator(".cookbook-dead").is_hidden()
    assert page.locator("img[src^='data:image/png']").first.is_visible()


def test_a_comparison_page_asks_nobody(opened, tmp_path):
    answers = pd.DataFrame([{"column": HOSTILE, "input": HOSTILE, "answer": HOSTILE}])
    page, asked = opened(compare.side_by_side(answers).to_html(tmp_path / "a.html"))
    assert asked == [] and page.locator("table.answers").is_visible()
