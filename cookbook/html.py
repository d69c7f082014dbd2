"""What the HTML of notebook outputs shares: colours, templates, stand-ins for widgets.

    html.template("<b>{{ name }}</b>").render(name="<x>")     -> "<b>&lt;x&gt;</b>"

Templates are Jinja2 with automatic escaping, so a reader's text is never taken for markup, and its
control characters are shown as escapes; `tr` chooses the language in them. A string that is HTML
already must be passed as `markupsafe.Markup`, or with the filter `safe`. Jinja2 is loaded with the
first template, not with this module. The panel's style sheet is not kept here.
"""

import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from cookbook.i18n import tr
from cookbook.terminal import printable

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from markupsafe import Markup

__all__ = [
    "Bundle",
    "Displayed",
    "ERROR",
    "GREY",
    "LIVE",
    "LOADS_NOTHING",
    "OK",
    "TEXT",
    "WARNING",
    "WARNING_FILLED",
    "WIDGET",
    "coloured",
    "environment",
    "escape",
    "template",
    "widget_bundle",
]

ERROR = "#c0392b"
WARNING = "#b7791f"
WARNING_FILLED = "#96650f"  # behind white text
OK = "#238b45"
TEXT = "#444"
GREY = "#8a8a8a"

LOADS_NOTHING = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
    "media-src data:; font-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "form-action 'none'; base-uri 'none'\">"
)
"""For the head of a page: the browser refuses whatever is not inside the page itself."""

Bundle = dict[str, Any]
"""What `_repr_mimebundle_` returns: outputs by MIME type."""


WIDGET = "application/vnd.jupyter.widget-view+json"
"""The MIME type by which a notebook finds a widget."""

LIVE = "cookbook-live"
"""The CSS class of every widget that is shown; ipywidgets adds one of its own when it is dead."""

_HAN = re.compile(r"[\u4e00-\u9fff]")

_DEAD_WIDGET = """\
<style>
.jp-OutputArea:has(.{{ live }}:not(.jupyter-widgets-disconnected)) .cookbook-dead { display: none }
</style>
<div class="cookbook-dead" style="color:{{ grey }}">
{{- tr("控件没有出现，或点了没有反应：内核已经换过，从第一格起再运行一遍（“运行”菜单里的"
       "“运行选中单元格以上的所有单元格”），再运行这一格",
       "If the controls are missing or do nothing, the kernel is another one by now: run the "
       "cells above again (Run All Above Selected Cell), then this one") -}}
</div>
"""


@cache
def environment() -> "Environment":
    """Return the Jinja2 environment. It escapes text, refuses missing values and knows `tr`."""
    import jinja2

    created = jinja2.Environment(
        autoescape=True,
        finalize=_finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    created.globals |= {"tr": tr, "page_language": page_language, "lang": lang}
    return created


def page_language() -> str:
    """Return the reader's language as the `lang` of a page has it."""
    return tr("zh-CN", "en")


def lang(text: str) -> "Markup":
    """Return the attribute `lang` for a text of others: Chinese, or that of the page around it.

    Browsers choose the shapes of Chinese characters by it, and where lines may break.
    """
    from markupsafe import Markup

    return Markup(' lang="zh"' if _HAN.search(text) else "")


def _finalize(value: object) -> object:
    """Return what a template writes for a value; markup is left as it is."""
    # The type itself: `Markup` is a kind of `str`.
    return printable(value) if type(value) is str else value


@cache
def template(source: str) -> "Template":
    """Return a template, compiled once. Pass a constant: every source is kept."""
    return environment().from_string(source)


def widget_bundle(widget: Any, *, text: str, html: str) -> Bundle:
    """Return what Jupyter needs to show a widget, with a stand-in for pages without widgets.

    Args:
        widget: an ipywidgets widget.
        text: the stand-in in a terminal.
        html: the stand-in on a web page, for example a notebook on GitHub.
    """
    widget.add_class(LIVE)
    # As ipywidgets 8 does; 7, which Colab brings, has no method for it.
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    # Jupyter shows the richest that it can; a page without widgets falls back to HTML.
    return {"text/plain": text, "text/html": html, WIDGET: view}


class Displayed:
    """Base of what shows itself as a widget: below it a sentence for the day when it is dead.

    A notebook that is opened again, or whose kernel was restarted, shows "model not found" or
    controls that do nothing. The sentence says what to run. It is hidden while the widget in the
    same output is connected to its kernel; where a page cannot tell, it is shown.
    """

    def _repr_mimebundle_(self, **options: Any) -> Bundle:
        """Return the widget's bundle, see `widget_bundle`."""
        raise NotImplementedError

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self._repr_mimebundle_(), raw=True)
        # HTML alone: a terminal has no widget that could be dead.
        note = template(_DEAD_WIDGET).render(live=LIVE, grey=GREY)
        display({"text/html": note}, raw=True)


def coloured(text: str, colour: str) -> str:
    """Return a sentence in one of the colours above, escaped."""
    source = '<span style="color:{{ colour }}">{{ text }}</span>'
    return template(source).render(text=text, colour=colour)
