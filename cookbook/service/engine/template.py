"""Try a base's chat template before it is used: it is a program, and may never end.

    probe(base_id, template)        raise ModelError where it takes too long

transformers runs templates in a sandbox that keeps them from the machine's files, but neither from
loops nor from memory. A conversation of each kind is laid out once in a process of its own, which
is ended after `SECONDS`. Known templates are not tried. A template that stops only at a certain
text is not found out; errors that a template raises are left to those who use it.

    python -m cookbook.service.engine.template      is such a process, and reads the template
"""

import subprocess
import sys

from cookbook import chatml
from cookbook.errors import ModelError
from cookbook.service import trial

MODULE = "cookbook.service.engine.template"
SECONDS = 20.0  # loading transformers takes one of them
MEMORY_BYTES = 2**32  # address space, where the system can limit it

_SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
_USER = {"role": "user", "content": "你好"}
# Long, since a loop may depend on the length of a text or of a conversation.
_TURN = [
    {"role": "user", "content": "问" * 4000},
    {"role": "assistant", "content": "答" * 4000},
]
CONVERSATIONS = [
    [_USER],
    [_SYSTEM, _USER],
    [_SYSTEM, *_TURN * 20, _USER],
    _TURN,
]


def probe(base_id: str, template: str) -> None:
    """Lay out a few conversations with a template that is not known.

    Raises:
        ModelError: this takes longer than `SECONDS`, or more memory than a template may use.
    """
    if template == chatml.TEMPLATE:
        return
    try:
        text = template.encode("utf-8", "surrogatepass")
        ended = trial.run("-m", MODULE, seconds=SECONDS, given=text)
        failed = ended.returncode != 0
    except subprocess.TimeoutExpired:
        failed = True
    if failed:
        raise ModelError(
            zh=f"基础模型 {base_id} 的对话模板（chat template）运行不完："
            f"超过 {SECONDS:g} 秒或占满内存。换一个来源可靠的模型",
            en=f"the chat template of the base model {base_id} does not end: it takes more than "
            f"{SECONDS:g} seconds, or all memory. Choose a model from a source that you trust",
        )


def main() -> None:
    """Lay out every conversation with the template on standard input."""
    from transformers.utils.chat_template_utils import render_jinja_template

    template = sys.stdin.buffer.read().decode("utf-8", "surrogatepass")
    _limit_memory()
    for messages in CONVERSATIONS:
        for opened in (False, True):
            try:
                render_jinja_template(
                    conversations=[messages],
                    chat_template=template,
                    add_generation_prompt=opened,
                )
            except MemoryError:
                sys.exit(1)
            except Exception:
                # Many templates refuse some conversations on purpose.
                continue


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


if __name__ == "__main__":
    main()
