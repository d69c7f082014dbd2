"""What the HTML of notebook outputs shares: colours, templates, and the still picture of a widget.

    html.template("<b>{{ name }}</b>").render(name="<x>")     -> "<b>&lt;x&gt;</b>"

Templates are Jinja2 with automatic escaping, so a reader's text is never taken for markup; `tr` chooses the language
in them. A string that is HTML already must be passed as `markupsafe.Markup`, or with the filter `safe`.
Jinja2 is loaded with the first template, not with this module. The panel's style sheet is not kept here.
"""

from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from cookbook.i18n import tr

if TYPE_CHECKING:
    from jinja2 import Environment, Template

__all__ = [
    "ERROR",
    "GREY",
    "OK",
    "TEXT",
    "WARNING",
    "environment",
    "escape",
    "template",
    "widget_bundle",
]

ERROR = "#c0392b"
WARNING = "#b7791f"
OK = "#238b45"
TEXT = "#444"
GREY = "#8a8a8a"


@cache
def environment() -> "Environment":
    """Return the Jinja2 environment: text is escaped, a missing value is an error, `tr(zh, en)` is there."""
    import jinja2

    created = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    created.globals["tr"] = tr
    return created


@cache
def template(source: str) -> "Template":
    """Return a template, compiled once. Pass a constant: every source is kept."""
    return environment().from_string(source)


def widget_bundle(widget: Any, options: dict[str, Any], *, text: str, html: str) -> dict[str, Any]:
    """Return what Jupyter needs to show a widget, and a stand-in for pages on which widgets do not work.

    Args:
        widget: an ipywidgets widget.
        options: what `_repr_mimebundle_` was called with.
        text: the stand-in in a terminal.
        html: the stand-in on a web page, for example a notebook on GitHub.
    """
    bundle = widget._repr_mimebundle_(**options)
    return bundle | {"text/plain": text, "text/html": html}
