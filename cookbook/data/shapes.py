"""The shapes that conversations come in, and how each becomes messages."""

from dataclasses import dataclass

from cookbook.i18n import tr


@dataclass(frozen=True)
class Shape:
    """A shape that other tools write.

    Attributes:
        name: for programs, as `sharegpt`.
        title_zh, title_en: for people, as "ShareGPT".
        call: how to convert it, as `data.from_messages(path)`; "" where nothing here can.
    """

    name: str
    title_zh: str
    title_en: str
    call: str = "data.from_messages(path)"

    @property
    def title(self) -> str:
        """Its name in the reader's language."""
        return tr(self.title_zh, self.title_en)


MESSAGES = Shape("messages", "OpenAI 的 messages 格式", "OpenAI's messages")


def of(value: object) -> Shape | None:
    """Return the shape of one entry; None where it is not known."""
    if isinstance(value, dict) and "messages" in value:
        return MESSAGES
    return None
