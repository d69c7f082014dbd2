"""A room: one service that many people share, each with a key and work of their own.

    service = connect("http://192.168.1.5:8765", key="room-…")      join one, see `connect`
    room.view(client)                what is mine in it: jobs and their places, models, limits
    room.share(client, model)        let everybody in the room use one of my models
    room.unshare(client, model)      keep it to myself again

Helpers take the `openai` client first. Of the embedded service, which has one person, they show the
same. What the modules are for:

    invitation, typed           which room is meant, and what people type from a slip
    joined, answer, no_answer   the one request that proves a key, and why it may fail
    view, share                 the helpers above
    names, slips, address       who comes, on which paper, and where the room is reached
    arguments, command, welcome, roster
                                the command itself, which works with the service's own store
    hub                         keys for the people of a JupyterHub

Only the command imports the service.
"""

from cookbook.room.share import share, unshare
from cookbook.room.view import RoomView, view

__all__ = ["RoomView", "share", "unshare", "view"]
