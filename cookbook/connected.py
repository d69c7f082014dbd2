"""What `connect()` returns: where requests go, and with which key.

The key is never shown. In Jupyter a connection to a room shows who is in which room, how long it is
open, and what the leader told everybody.
"""

from dataclasses import dataclass, field

from cookbook.clock import clock


@dataclass(frozen=True)
class Connection:
    """Where requests go.

    Attributes:
        trains_by_api: whether jobs can be created over HTTP there.
        room: in a room, the name of the person whose key it is; None elsewhere.
        message: in a room, what the leader told everybody when this was made.
        closes_at: in a room, when it closes, in seconds since 1970; None where it does not.
    """

    base_url: str
    api_key: str = field(repr=False)
    base_model: str
    trains_by_api: bool
    room: str | None = None
    message: str | None = None
    closes_at: float | None = None

    def __repr__(self) -> str:
        shown = f"base_url={self.base_url!r}, base_model={self.base_model!r}"
        shown += f", trains_by_api={self.trains_by_api}"
        if self.room is not None:
            shown += f", room={self.room!r}, closes_at={clock(self.closes_at)!r}"
            shown += f", message={self.message!r}"
        return f"Connection({shown})"

    def _repr_html_(self) -> str | None:
        # Elsewhere there is nothing more to say than the text does.
        if self.room is None:
            return None
        from cookbook import html  # loads nothing before it is shown

        return html.template(_ROOM).render(
            place=self.base_url.removesuffix("/v1"), closes=clock(self.closes_at), service=self
        )


_ROOM = """
<div class="cookbook-room">
{{- tr("课堂", "room") }} <code>{{ place }}</code> · {{ tr("你是", "you are") }}
<b>{{ service.room }}</b> · {{ tr("基础模型", "base model") }} <code>{{ service.base_model }}</code>
{%- if closes %} · {{ tr("开到", "open until") }} {{ closes }}{% endif %}
{% if service.message %}
<div>{{ tr("组织者说：", "the leader says: ") }}{{ service.message }}</div>
{% endif %}
</div>
"""
