"""What one service accepts at a time, so that a room full of readers cannot bring it down.

The limits are listed in docs/api.md. Beyond one the response is 413 (too large), 408 (too slow) or
429 and 503 with `Retry-After` (too many), never an error of the server.

Jobs, answers and files are counted for each caller alone, and have no total: thirty people who each
stay within theirs must never be sent away because of the others. What they can have together is
still bounded, by the number of people that the leader has let in. What waits takes a row of the
database, or a request whose bytes `BODIES_BYTES` bounds for all together.
"""

from dataclasses import dataclass

from cookbook.data import MAX_BYTES

# Bytes of a request's body
UPLOAD_BYTES = MAX_BYTES + 64 * 1024  # the largest file, with its multipart wrapping
BODY_BYTES = 1024 * 1024  # any other request

# Numbers at the same time
UPLOADS = 2  # being checked, one of each person; the others wait
BODIES_BYTES = 256 * 1024 * 1024  # of all requests being read, in memory or in temporary files

# Of whoever runs the service: there only to stop a loop that never ends
JOBS = 1000  # that have not ended; a cluster trains hundreds
CHATS = 64  # answers under way or waiting
BATCHES = 100  # that have not ended

# Of a batch
BATCH_LINES = 5000  # as on SiliconCloud
BATCH_UNDER_WAY = 8  # lines of all batches that are being answered
RESULT_BYTES = 100 * 1024 * 1024  # of its answers; the rest of its lines fail then

# Of one person in a room
PERSON_JOBS = 6  # that have not ended
PERSON_BYTES = 200 * 1024 * 1024  # of all files
PERSON_CHATS = 8  # answers under way or waiting
PERSON_BATCHES = 2  # that have not ended
PERSON_REQUESTS = 64  # under way, of the `CONNECTIONS` of all
PERSON_BODIES_BYTES = 64 * 1024 * 1024  # of all requests being read, a part of `BODIES_BYTES`

# Connections: a notebook keeps one or two open, a page of Jupyter none.
CONNECTIONS = 1000  # less where the descriptors are few
DESCRIPTORS = 65536  # as many as are asked for at the start, where the user may have them
ACCEPTED = 100  # at once, before any can make room
BACKLOG = 2048  # that wait to be accepted

# Seconds that a connection may keep the service waiting
KEEP_ALIVE_SECONDS = 15  # between requests; clients close theirs sooner and never meet its end
HEAD_SECONDS = 30  # until a request's head is there
STALLED_SECONDS = 60  # without progress, of a body that comes or an answer that is read
BODY_RATE = 1024  # bytes a second of a body, on average, from then on
PROGRESS_BYTES = 16 * 1024  # of an answer that must be read meanwhile

# Wrong tokens: a mistake is answered at once, somebody who tries one after the other is not.
WRONG_KEYS = 10  # answered at once, and again as many each minute
WRONG_KEY_SECONDS = 1.0  # until each further one is answered
WRONG_KEYS_WAITING = 32  # beyond which there is a 429

LOG_REPEATS = 5  # times that the same warning is written in a minute


@dataclass(frozen=True)
class Allowance:
    """What one caller may have at the same time; `bytes` None is without a limit."""

    jobs: int
    bytes: int | None
    chats: int
    batches: int


def of(is_leader: bool) -> Allowance:
    """Return what a caller may have."""
    if is_leader:
        return Allowance(JOBS, None, CHATS, BATCHES)
    return Allowance(PERSON_JOBS, PERSON_BYTES, PERSON_CHATS, PERSON_BATCHES)
