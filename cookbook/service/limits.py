"""What one service accepts at a time, so that a room full of readers cannot bring it down.

The limits are listed in docs/api.md. Beyond one the response is 413 (too large) or 429 with
`Retry-After` (too many), never an error of the server.
"""

from cookbook.data import MAX_BYTES

# Bytes of a request's body
UPLOAD_BYTES = MAX_BYTES + 64 * 1024  # the largest file, with its multipart wrapping
BODY_BYTES = 1024 * 1024  # any other request

# Numbers at the same time
UPLOADS = 2  # being checked; the others wait
CHATS = 64  # answers under way or waiting
JOBS = 100  # jobs that have not ended
