"""Count what the requests under way take of a service that all share: places and bytes.

    Bodies      bytes that are being read, of all and of each person
    Requests    requests of each person

Beyond a limit of limits.py the request is refused, 413 or 429. For whoever runs the service only
the sum counts, and the length of each request.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Message, Receive

from cookbook.data.report.codes import CODES
from cookbook.service import limits
from cookbook.service.api_error import ApiError
from cookbook.service.callers import Caller


class Bodies:
    """Bytes of all requests that are being read or answered, and of each person's."""

    def __init__(self) -> None:
        self._bytes = 0
        self._of: Counter[str] = Counter()

    @contextmanager
    def counted(self, receive: Receive, limit: int, caller: Caller) -> Iterator[Receive]:
        """Give `receive`, which raises ApiError when more than `limit` bytes have come.

        It does so, too, where all requests together have sent more than the service can keep, or
        those of one person more than their share of it.
        """
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            size = len(message.get("body", b""))
            read += size
            self._bytes += size
            self._of[caller.name] += size
            # Closed, or the server would read the rest before the next request.
            if read > limit:
                raise too_large(limit, {"connection": "close"})
            own = self._of[caller.name]
            if not caller.is_leader and own > limits.PERSON_BODIES_BYTES:
                raise too_many(
                    zh="你同时上传的内容太多：等前面的传完，再传下一个",
                    en="you upload too much at the same time: wait for the uploads before this one",
                )
            if self._bytes > limits.BODIES_BYTES:
                raise too_many(
                    zh="正在上传的内容太多：稍后再试",
                    en="too much is being uploaded at the moment: try again shortly",
                )
            return message

        try:
            yield counted
        finally:
            self._bytes -= read
            self._of[caller.name] -= read
            if not self._of[caller.name]:
                del self._of[caller.name]


class Requests:
    """Requests under way of each person: nobody takes up all connections."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()

    def check(self, caller: Caller) -> None:
        """Raise ApiError if a person of a room has too many already."""
        if not caller.is_leader and self._of[caller.name] >= limits.PERSON_REQUESTS:
            raise too_many(
                zh=f"你已有 {limits.PERSON_REQUESTS} 个请求在进行：等一些结束，或少开几个并发",
                en=f"you have {limits.PERSON_REQUESTS} requests under way: wait for some to end, "
                "or send fewer at the same time",
            )

    @contextmanager
    def counted(self, caller: Caller) -> Iterator[None]:
        self._of[caller.name] += 1
        try:
            yield
        finally:
            self._of[caller.name] -= 1


def too_large(limit: int, headers: dict[str, str] | None = None) -> ApiError:
    size = f"{limit // 2**20} MB"
    if limit == limits.UPLOAD_BYTES:
        # In the words of `data.check`, which would have said how large the file is.
        known = CODES["file-size"]
        zh = f"文件超过 {size} 上限 → {known.fix_zh}"
        en = f"the file is over the limit of {size} → {known.fix_en}"
        return ApiError(413, zh=zh, en=en, code="file-size", param="file", headers=headers)
    return ApiError(
        413,
        zh=f"请求超过 {size} 上限：拆成几个",
        en=f"the request is over the limit of {size}: split it into several",
        code="too_large",
        headers=headers,
    )


def too_many(*, zh: str, en: str) -> ApiError:
    headers = {"retry-after": "5", "connection": "close"}
    return ApiError(429, zh=zh, en=en, code="too_many_requests", headers=headers)
