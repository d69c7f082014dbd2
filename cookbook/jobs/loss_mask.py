"""What one training row looks like to the model, and which of its tokens are learned.

    jobs.as_trained(row)      ChatML token by token, special tokens visible, the trained ones marked

Laid out with Qwen2.5's own template and vocabulary, as `encode` in `cookbook/service/engine/train.py` does it, which must agree: a
test compares every token. What SiliconCloud trains on is not documented; this is what the embedded service does.
"""

import html
from dataclasses import dataclass

from cookbook import chatml, tokens
from cookbook.i18n import tr


@dataclass(frozen=True)
class Token:
    """A token: its number and text, whether it is trained on, whether `max_tokens` cut it off."""

    id: int
    text: str
    trained: bool
    cut: bool = False


@dataclass(frozen=True)
class Row:
    """A training row as tokens. In Jupyter trained tokens are marked, cut ones struck out; as text they are ⟦so·cut⟧."""

    tokens: list[Token]

    @property
    def trained(self) -> int:
        return sum(t.trained for t in self.tokens)

    def __repr__(self) -> str:
        parts, inside = [], False
        for t in self.tokens:
            if t.trained != inside:
                parts.append("⟦" if t.trained else "⟧")
            elif inside:
                parts.append("·")
            inside = t.trained
            parts.append(_visible(t.text) if not t.cut else "")
        return "".join(parts) + "⟧" * inside + "\n" + self._summary()

    def _repr_html_(self) -> str:
        body = "".join(_html(t) for t in self.tokens)
        return f'<div class="cookbook-row" style="line-height:2">{body}</div><div>{html.escape(self._summary())}</div>'

    def _summary(self) -> str:
        kept = [t for t in self.tokens if not t.cut]
        text = tr(
            f"{len(kept)} 个 token，训练其中标出的 {self.trained} 个（{self.trained / max(1, len(kept)):.0%}）",
            f"{len(kept)} tokens, the {self.trained} marked ones are trained on ({self.trained / max(1, len(kept)):.0%})",
        )
        if cut := len(self.tokens) - len(kept):
            text += tr(f"；max_tokens 截掉了 {cut} 个", f"; max_tokens cut off {cut}")
        return text


def as_trained(row: dict, *, max_tokens: int = 4096) -> Row:
    """One row, laid out as the model reads it; of each answer its text and the closing ``<|im_end|>`` are trained on."""
    answers = [i for i, m in enumerate(row["messages"]) if m["role"] == "assistant"]
    messages = row["messages"][
        : max(answers, default=-1) + 1
    ]  # what follows the last answer is not read
    if messages and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": chatml.DEFAULT_SYSTEM}, *messages]
    laid_out: list[tuple[int, bool]] = []
    add = lambda text, trained=False: laid_out.extend((i, trained) for i in tokens.encode(text))
    for message in messages:
        head, content = f"<|im_start|>{message['role']}\n", f"{message['content']}<|im_end|>"
        if message["role"] == "assistant":
            add(head)
            add(content, True)
        else:
            add(head + content)
        add("\n")
    shown = zip(laid_out, tokens.texts(i for i, _ in laid_out), strict=True)
    return Row(
        [
            Token(i, text, trained and n < max_tokens, n >= max_tokens)
            for n, ((i, trained), text) in enumerate(shown)
        ]
    )


def _visible(text: str) -> str:
    return text.replace("\n", "⏎")


def _html(token: Token) -> str:
    text = html.escape(_visible(token.text)) + "<br>" * token.text.count("\n")
    if token.text in chatml.SPECIAL_TOKENS:
        text = f"<b>{text}</b>"
    tag = "mark" if token.trained else "s" if token.cut else "span"
    colour = ";background:#fde7a3" if token.trained else ""
    style = f"border-bottom:2px solid #bbb;margin-right:2px{colour}"
    return f'<{tag} style="{style}" title="{token.id}">{text}</{tag}>'
