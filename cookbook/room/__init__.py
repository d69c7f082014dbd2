"""A room: one service that many people share, each with a key and work of their own.

    service = connect("http://192.168.1.5:8765", key="room-…")      join one, see `connect`
    room.view(client)                what is mine in it: jobs and their places, models, limits
    room.share(client, model)        let everybody in the room use one of my models
    room.unshare(client, model)      keep it to myself again

Helpers take the `openai` client first. Of the embedded service, which has one person, they show the
same.
"""

from cookbook.room.share import share, unshare
from cookbook.room.view import RoomView, view

__all__ = ["RoomView", "share", "unshare", "view"]
