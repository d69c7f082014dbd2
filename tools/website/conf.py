"""Sphinx's settings for one edition, `SITE_LANGUAGE`. tools/build_site.py runs it."""

import os
from pathlib import Path
from typing import Any

import cookbook
from website.pages import edition

HERE = Path(__file__).parent
CHOSEN = os.environ["SITE_LANGUAGE"]
OTHER = {"zh": "en", "en": "zh"}[CHOSEN]
NAMES = {"zh": "SiliconCloud 微调 Cookbook", "en": "SiliconCloud fine-tuning cookbook"}

project = html_title = NAMES[CHOSEN]
release = version = cookbook.__version__
language = {"zh": "zh_CN", "en": "en"}[CHOSEN]
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "website.docstrings",
    "website.words",
]
exclude_patterns = ["downloads", "locale"]

# Notebooks show the outputs that they store.
nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js: dict[str, Any] = {}  # else every page would load them from another host
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
# One heading of a guide may be a level below what Markdown's order would give.
suppress_warnings = ["myst.header"]

# Pages of helpers are what `__all__` names, in its module's order of thought.
autodoc_default_options = {"member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
add_module_names = False
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
templates_path = [str(HERE / "templates")]
html_copy_source = False
html_show_copyright = html_show_sphinx = False
html_search_scorer = str(HERE / "scorer.js")
locale_dirs = ["locale"]  # of the staged sources
smartquotes_action = "D"  # dashes alone: curly quotes are wide in Chinese fonts
toc_object_entries_show_parents = "hide"
highlight_language = "none"
html_use_index = False
html_domain_indices = False
html_theme_options = {
    "source_repository": "",
    "top_of_page_buttons": [],
    "light_css_variables": {
        "color-brand-primary": "#5b3fd6",
        "color-brand-content": "#5b3fd6",
        "font-stack": "var(--site-font)",
        "font-stack--monospace": "var(--site-mono)",
    },
    "dark_css_variables": {
        "color-brand-primary": "#a896ff",
        "color-brand-content": "#a896ff",
    },
}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}

THERE = {page.name for page in edition(OTHER).pages}


def add_twin(app: Any, pagename: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Give each template the address of the same page in the other edition."""
    name = pagename if pagename in THERE or pagename == "search" else "index"
    up = "../" * (pagename.count("/") + 1)
    context["twin"] = f"{up}{OTHER}/{name}.html"
    context["twin_language"] = {"zh": "zh-CN", "en": "en"}[OTHER]
    context["twin_name"] = {"zh": "中文", "en": "English"}[OTHER]
    context["own_name"] = {"zh": "中文", "en": "English"}[CHOSEN]


def setup(app: Any) -> None:
    app.connect("html-page-context", add_twin)
