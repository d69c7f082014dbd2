"""Lists in OpenAI's shape, of which the client reads one page after another.

A client asks for the page `after` the last id that it has, with a `limit`; `has_more` tells it
whether to ask again.
"""

from typing import Annotated, Generic, Literal, Self, TypeVar

from fastapi import Query
from pydantic import BaseModel

Limit = Annotated[int, Query(ge=1, le=1000)]
"""Items on a page, as a query parameter."""


class Resource(BaseModel):
    """An object of the API; each has an id."""

    id: str


Item = TypeVar("Item", bound=Resource)


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool
    first_id: str | None
    last_id: str | None

    @classmethod
    def of(cls, items: list[Item], limit: int) -> Self:
        """Return the first `limit` of the items; one more means that another page follows."""
        # Callers fetch one item more than they show: cheaper than counting what is left.
        shown = items[:limit]
        first = shown[0].id if shown else None
        last = shown[-1].id if shown else None
        return cls(data=shown, has_more=len(items) > limit, first_id=first, last_id=last)
