"""What one service takes on at a time, so that a room full of readers cannot bring it down. Stated in docs/api.md.

A limit that is reached answers 413 (too large) or 429 with `Retry-After` (too many), never with an error of the server.
"""

from cookbook.data import MAX_BYTES

UPLOAD_BYTES = MAX_BYTES + 64 * 1024  # the largest file, with its multipart wrapping
BODY_BYTES = 1024 * 1024  # any other request
UPLOADS = 2  # checked at the same time; the others wait
CHATS = 64  # answers under way or waiting
JOBS = 100  # jobs that have not ended
