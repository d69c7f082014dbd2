"""What would fit where a training does not, with figures: each was estimated, none is a guess."""

from dataclasses import dataclass

from cookbook.i18n import Text
from cookbook.machine import at_least
from cookbook.memory.weights import INSTALL_4_BIT


@dataclass(frozen=True)
class Remedies:
    """What would fit.

    Attributes:
        close_others: whether it would fit if nothing else ran.
        max_tokens: the largest that fits here; None where even short rows do not.
        smaller_base: the largest known base that fits here with the same rows; None without any.
        four_bit_gpu: bytes of a GPU that would do with the base in 4 bit.
        memory: free bytes of a machine without a GPU that would do.
        limit: bytes to which `COOKBOOK_MEMORY` must be raised; None where it is not in the way.
    """

    close_others: bool
    max_tokens: int | None
    smaller_base: str | None
    four_bit_gpu: int
    memory: int
    limit: int | None = None

    def sentences(self) -> list[Text]:
        """Return each of them as a sentence without a full stop."""
        found = []
        if self.limit is not None:
            size = at_least(self.limit).replace(" ", "")
            found.append(
                Text(f"把 COOKBOOK_MEMORY 调到 {size} 以上", f"raise COOKBOOK_MEMORY to {size}")
            )
        if self.close_others:
            found.append(Text("关掉别的程序", "close other programs"))
        if self.max_tokens is not None:
            tokens = self.max_tokens
            found.append(Text(f"max_tokens 改成 {tokens}", f"set max_tokens to {tokens}"))
        if self.smaller_base is not None:
            name = self.smaller_base
            found.append(
                Text(f"换小一些的基础模型，如 {name}", f"use a smaller base such as {name}")
            )
        size = at_least(self.four_bit_gpu)
        found.append(
            Text(
                f"用空闲显存 {size} 以上的显卡，4 bit 训练（{INSTALL_4_BIT}）",
                f"train in 4 bit on a GPU with {size} free ({INSTALL_4_BIT})",
            )
        )
        size = at_least(self.memory)
        found.append(
            Text(f"换空闲内存 {size} 以上的机器", f"use a machine with {size} of free memory")
        )
        return found
