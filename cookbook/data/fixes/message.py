"""Fix one message: its role, its content, its weight, its further keys."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from cookbook.data import damage
from cookbook.data.damage import Finding, marks
from cookbook.data.entry import Entry
from cookbook.data.report.changes import Change, change_of
from cookbook.data.report.excerpt import visible, written
from cookbook.data.report.names import named
from cookbook.data.rules import message_rules, weights
from cookbook.data.shapes import unused
from cookbook.data.shapes.shape import is_empty
from cookbook.i18n import tr

TEXT_SHOWN = 20  # characters of a text that is named in a change
NOTES_SHOWN = 5  # of a kind in one row


@dataclass(frozen=True)
class Asked:
    """What the reader asked for; see `data.clean`.

    Attributes:
        roles: how to read role names that are not known.
        fixes: the kinds of damage to repair, see `damage`.
        weights: whether answers that are not to be learned are kept with their weight ("mask"), or
            removed with their question ("drop").
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    fixes: frozenset[str] = frozenset()
    weights: str = "mask"


class Notes:
    """What is done to one row.

    Attributes:
        changes: one for each thing that was done.
        masked: answers whose weight of 0 stays as it is, which is no change.
        unrepaired: (index of the message, its text, the damage) of what was to be repaired and
            needs a person.
    """

    def __init__(self, entry: Entry):
        self._entry = entry
        self.changes: list[Change] = []
        self.masked = 0
        self.unrepaired: list[tuple[int, str, Finding]] = []
        self._unused: dict[str, object] = {}
        self._weights: dict[str, None] = {}
        self._repaired: Counter[str] = Counter()
        self._first_repaired: dict[str, str] = {}

    def change(self, code: str, detail: str = "") -> None:
        """Note something that was done."""
        place, number = self._entry.place, self._entry.number
        self.changes.append(change_of(place, code, detail, row=number))

    def unused(self, keys: Mapping) -> None:
        """Note keys that are removed, with their values."""
        for key, value in keys.items():
            name = str(key)
            if is_empty(self._unused.get(name)):
                self._unused[name] = value

    def weight(self, detail: str) -> None:
        """Note what becomes of a weight."""
        self._weights[detail] = None

    def repaired(self, code: str, count: int, detail: str) -> None:
        """Note a repair of `count` places, of which one is shown."""
        self._repaired[code] += count
        self._first_repaired.setdefault(code, detail)

    def finish(self) -> None:
        """Add the changes that are one for all messages of the row."""
        plain = unused.metadata(self._unused)
        meaning = unused.in_words(self._unused)
        if plain:
            self.change("extra-key", named(plain))
        if meaning:
            self.change("not-used", meaning)
        if self._weights:
            details = [*self._weights][:NOTES_SHOWN]
            if self.masked:
                details.append(tr("weight: 0 留着，只读不学", "weight: 0 stays: read, not learned"))
            listed_details = tr("；", "; ").join(details)
            self.change("weight", tr(f"（{listed_details}）", f"({listed_details})"))
        for code, n in self._repaired.items():
            shown = self._first_repaired[code]
            detail = tr(f"（{n} 处：{shown}）", f"({n}: {shown})")
            self.change(code, detail)


def fix_message(index: int, message: dict, row: dict, asked: Asked, notes: Notes) -> dict:
    """Return a fixed copy of a message of a row."""
    fixed = {key: message[key] for key in ("role", "content") if key in message}
    further = {key: message[key] for key in message if key not in fixed}
    # Tool calls stay to be reported: without them the row would look like another.
    if message_rules.is_of_tools(message):
        return message
    _fix_role(fixed, asked, notes)
    _fix_content(index, fixed, asked, notes)
    if fixed.get("role") == "assistant":
        _fix_weight(fixed, further, row, notes, keeps=asked.weights == "mask")
        for key in weights.KEYS:
            further.pop(key, None)
    notes.unused(further)
    return fixed


def _fix_role(fixed: dict, asked: Asked, notes: Notes) -> None:
    role = fixed.get("role")
    if not isinstance(role, str):
        return
    usual = message_rules.usual_role(role)
    # What the reader says goes before what is known.
    if role in asked.roles:
        meant = asked.roles[role]
        fixed["role"] = meant
        notes.change("role", f"{role[:TEXT_SHOWN]} → {meant}")
    elif usual and usual != role:
        fixed["role"] = usual
        notes.change("role-case", f"{role} → {usual}")


def _fix_content(index: int, fixed: dict, asked: Asked, notes: Notes) -> None:
    content = fixed.get("content")
    if isinstance(content, list | dict):
        content = message_rules.joined(content)
        if content is None:
            return
        notes.change("content-parts")
        fixed["content"] = content
    if not isinstance(content, str):
        return
    # A text of white space alone stays as it is: it is reported as empty.
    if content.strip() not in ("", content):
        fixed["content"] = content = content.strip()
        notes.change("white-space")
    if asked.fixes:
        fixed["content"] = _repaired(index, content, fixed.get("role"), asked.fixes, notes)


def _repaired(index: int, text: str, role: object, fixes: frozenset[str], notes: Notes) -> str:
    found = {finding.code: finding for finding in damage.find(text)}
    codes = set(fixes)
    # Thinking that is as it should be is an answer's alone.
    thinks = role == "assistant" and marks.has_thinking(text)
    if "thinking" not in found and not thinks:
        codes.discard("thinking")
    repaired = damage.repair(text, frozenset(codes)).strip()

    # What is still there could only be guessed; it is shown where it was.
    for finding in damage.find(repaired):
        if finding.code in fixes:
            notes.unrepaired.append((index, text, found.get(finding.code, finding)))
    if repaired != text:
        for code in damage.REPAIRABLE:
            if code in codes and code in found:
                example = _example(text, found[code])
                notes.repaired(code, found[code].count, example)
        if thinks and "thinking" in codes and "thinking" not in found:
            notes.repaired("thinking", 1, "<think> …")
    return repaired


def _example(text: str, finding: Finding) -> str:
    """Return what a text had and has, as `\\n → 换行`."""
    before = text[finding.start : finding.end]
    after = damage.repair(before, frozenset((finding.code,)))
    if not after:
        after = tr("删去", "removed")
    elif after == "\n":
        after = tr("换行", "a line end")
    elif after == " ":
        after = tr("空格", "a space")
    return f"{visible(before)[:TEXT_SHOWN]} → {visible(after)[:TEXT_SHOWN]}"


def _fix_weight(fixed: dict, further: Mapping, row: Mapping, notes: Notes, *, keeps: bool) -> None:
    marked = [key for key in weights.KEYS if key in further]
    if weights.is_off(further) or weights.is_off(row, weights.ROW_KEYS):
        fixed["weight"] = 0
        # Written like this already: nothing is changed.
        weight = further.get("weight")
        if marked == ["weight"] and type(weight) is int:
            notes.masked += keeps
            return
    beyond = weights.beyond(further)
    for key in marked:
        shown = f"{key}: {written(further[key])[:TEXT_SHOWN]}"
        if "weight" in fixed:
            notes.weight(f"{shown} → weight: 0")
        elif key == beyond:
            notes.weight(tr(f"{shown} 当作 1，照常学", f"{shown} counts as 1"))
        else:
            notes.weight(tr(f"{shown} 是默认的，去掉", f"{shown}, the default, removed"))
    if "weight" in fixed and not marked:
        notes.weight(tr("整行的权重是 0", "the row has the weight 0"))
