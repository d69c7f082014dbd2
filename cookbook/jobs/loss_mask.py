"""Show what one training row looks like to the model, and which of its tokens are trained on.

    jobs.as_trained(row)      ChatML token by token, special tokens visible, the trained ones marked

Layout and loss mask come from `cookbook.chatml`, the tokens from `cookbook.tokens`; the embedded
service trains on exactly these. What SiliconCloud trains on is not documented. Templates of other
bases are not covered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cookbook import chatml, html, tokens
from cookbook.chatml import Message
from cookbook.i18n import tr
from cookbook.terminal import printable

# Only block tags are on lines of their own: Jinja2 drops those line breaks, so no space gets into a
# token.
_TEMPLATE = """
{% macro text(token) %}
{{ token.visible }}{% for _ in range(token.line_breaks) %}<br>{% endfor %}
{% endmacro %}
{% macro underlined(tag, token, more="") %}
<{{ tag }} style="border-bottom:2px solid #bbb;margin-right:2px{{ more }}" title="{{ token.id }}">
{%- if token.special %}<b>{{ text(token) }}</b>{% else %}{{ text(token) }}{% endif %}
</{{ tag }}>
{%- endmacro %}
<div class="cookbook-row" style="line-height:2">
{%- for token in row.tokens %}
{% if token.trained %}
{{ underlined("mark", token, more=";background:#fde7a3") }}
{%- elif token.cut %}
{{ underlined("s", token) }}
{%- else %}
{{ underlined("span", token) }}
{%- endif %}
{% endfor %}
</div><div>{{ row.summary }}</div>
"""


@dataclass(frozen=True)
class Token:
    """A token: its number and text, whether it is trained on, whether `max_tokens` cut it off."""

    id: int
    text: str
    trained: bool
    cut: bool = False

    @property
    def visible(self) -> str:
        """The text with line breaks and control characters that can be seen."""
        return printable(self.text).replace("\n", "⏎")

    @property
    def line_breaks(self) -> int:
        return self.text.count("\n")

    @property
    def special(self) -> bool:
        """Return whether it is one of the template's marks."""
        return self.text in chatml.SPECIAL_TOKENS


@dataclass(frozen=True)
class TokenRow:
    """A training row as tokens.

    In Jupyter the trained tokens are marked, and those that `max_tokens` cut off are struck out. As
    text the trained ones are in brackets, ⟦so·cut⟧, and those cut off are left out.
    """

    tokens: list[Token]
    read_only_answers: int = 0
    """Answers of weight 0, which are read and not trained on."""

    @property
    def trained(self) -> int:
        """The number of tokens that are trained on."""
        return sum(token.trained for token in self.tokens)

    @property
    def summary(self) -> str:
        """The counts in a sentence."""
        read = sum(not token.cut for token in self.tokens)
        # `max_tokens` can cut off everything.
        share = self.trained / max(1, read)
        text = tr(
            f"{read} 个 token，训练其中标出的 {self.trained} 个（{share:.0%}）",
            f"{read} tokens, the {self.trained} marked ones are trained on ({share:.0%})",
        )
        cut = len(self.tokens) - read
        if cut:
            text += tr(f"；max_tokens 截掉了 {cut} 个", f"; max_tokens cut off {cut}")
        if self.read_only_answers:
            n = self.read_only_answers
            text += tr(f"；weight 为 0 的回答只读不学，有 {n} 个", f"; {n} of weight 0 only read")
        return text

    def __repr__(self) -> str:
        text = ""
        # Brackets open and close where training begins and ends.
        inside = False
        for token in self.tokens:
            if token.trained and inside:
                text += "·"
            elif token.trained:
                text += "⟦"
            elif inside:
                text += "⟧"
            inside = token.trained
            text += "" if token.cut else token.visible
        return f"{text}{'⟧' if inside else ''}\n{self.summary}"

    def _repr_html_(self) -> str:
        return html.template(_TEMPLATE).render(row=self)


def as_trained(row: Mapping[str, Sequence[Message]], *, max_tokens: int = 4096) -> TokenRow:
    """Return a row as the model reads it in training; what follows the last answer is not read.

    Args:
        row: a valid training row, `{"messages": [{"role": …, "content": …}, …]}`.
        max_tokens: tokens that are read of a row; those after them are marked as cut off.
    """
    ids: list[int] = []
    trained: list[bool] = []
    messages = tokens.MARKS.escape(row["messages"])
    for piece in chatml.pieces(messages):
        # Each alone, as in training: a prompt and its answer never share a token.
        encoded = tokens.encode(piece.text)
        ids += encoded
        trained += [piece.trained] * len(encoded)
    shown = []
    for i, text in enumerate(tokens.texts(ids)):
        cut = i >= max_tokens
        # What is cut off is not trained on, whatever it is.
        learned = trained[i] and not cut
        shown.append(Token(ids[i], text, learned, cut))
    answers = [message for message in messages if message["role"] == "assistant"]
    trained_on = sum(map(chatml.is_trained, answers))
    return TokenRow(shown, len(answers) - trained_on)
