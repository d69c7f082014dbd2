"""What a shape is, what an entry becomes, and why it could not."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from cookbook.data.report.names import MAX_NAME
from cookbook.data.rows import ROLES
from cookbook.data.shapes import roles
from cookbook.i18n import tr

CALL = "data.from_messages(path)"

MAX_KEYS = 20_000  # of an entry that are looked at


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
    call: str = CALL

    @property
    def title(self) -> str:
        """Its name in the reader's language."""
        return tr(self.title_zh, self.title_en)


class Refused(Exception):
    """An entry cannot become a row, and why.

    Never leaves `cookbook.data`: it becomes a problem in a report.

    Attributes:
        fix: the remedy in Chinese and English; None for the usual one of the code.
        key: of the entry that is to blame, to find the place in the text.
        index: of the message that is to blame.
    """

    def __init__(
        self,
        *,
        zh: str,
        en: str,
        fix: tuple[str, str] | None = None,
        code: str = "other-shape",
        key: str | None = None,
        index: int | None = None,
    ):
        super().__init__(en)
        self.zh, self.en = zh, en
        self.fix, self.code = fix, code
        self.key, self.index = key, index


@dataclass(frozen=True)
class Options:
    """What the reader asked for; see `data.from_messages`."""

    roles: Mapping[str, str] = field(default_factory=dict)
    system: str | None = None
    requests: Mapping[str, list | None] | None = None
    chosen: bool = False

    def role_of(self, name: object) -> str | None:
        """Return user, assistant or system for a role as the source writes it; else None."""
        if not isinstance(name, str):
            return None
        # What the reader says goes before what is known.
        asked = self.roles.get(name, self.roles.get(name.strip()))
        if asked is not None:
            return asked
        return name if name in ROLES else roles.known(name)


@dataclass
class Converted:
    """The messages of an entry, and what has to be said about it.

    Attributes:
        messages: not checked yet: what is no message is kept for the rules to report.
        unused: keys that were not used, with their values. Those of messages are among them.
        notes: (code of the change, Chinese, English), in their order.
        key: of the entry that has the conversation; None where it is put together.
        messages_before: how many messages were put before it.
        unknown_roles: role names that nobody knows -> the role that their place suggests.
    """

    messages: list
    unused: dict[str, object] = field(default_factory=dict)
    notes: dict[tuple[str, str, str], None] = field(default_factory=dict)
    unknown_roles: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    messages_before: int = 0

    def note(self, code: str, zh: str, en: str) -> None:
        """Add a note, once."""
        self.notes[code, zh, en] = None

    def leave(self, entry: Mapping, used: set[str]) -> None:
        """Note the keys of an entry that were not used."""
        for key, value in entry.items():
            if key not in used:
                self.unused.setdefault(str(key), value)

    def add(self, part: "Converted") -> None:
        """Take over what has to be said about a part of the entry; not its messages."""
        # Of two values of a key either will do: names are what is told.
        self.unused.update(part.unused)
        self.unknown_roles.update(part.unknown_roles)
        self.notes.update(part.notes)


Convert = Callable[[object, Options], Converted]


def folded(entry: Mapping) -> dict[str, str]:
    """Return each key by its name in lower case; of two spellings the lower one wins."""
    names: dict[str, str] = {}
    # An entry with more keys is none that anybody wrote.
    for key in islice(entry, MAX_KEYS):
        # No key that means anything is longer.
        if isinstance(key, str) and len(key) <= MAX_NAME:
            name = key.strip().casefold()
            if name == key or name not in names:
                names[name] = key
    return names


def keys_in(names: Mapping[str, str], vocabulary: Iterable[str]) -> list[str]:
    """Return the keys of an entry, as `folded` gives them, that a vocabulary has, in its order."""
    return [names[name] for name in vocabulary if name in names]


def is_empty(value: object) -> bool:
    """Return whether a value says nothing: missing, or empty."""
    if isinstance(value, str):
        return not value.strip()
    # 0 and False say something, and so does a number of any kind.
    if isinstance(value, list | tuple | dict):
        return not value
    return value is None


def only_text(parts: object) -> object:
    """Return the text of a list of one part; anything else as it is."""
    # Several parts may be text and images: the rules say what is wrong with them.
    if isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], dict):
        return parts[0].get("text", parts[0].get("content", parts))
    return parts


def words(text: str) -> tuple[str, ...]:
    """Return the words of a vocabulary."""
    return tuple(text.split())
