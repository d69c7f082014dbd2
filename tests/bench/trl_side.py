"""Train with TRL's `SFTTrainer` what ours trains: the same rows, adapter and optimizer.

    clock = trl_side.Clock()
    arguments = trl_side.settings(out, max_length=1000, **trl_side.FRUGAL)
    trl_side.trainer(model, folder, rows, arguments, clock).train()

What a benchmark compares besides is its own: memory, rate schedule, evaluation. TRL is the extra
`bench`, and is imported when it is called.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cookbook.params import PRESETS

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

HP = PRESETS["standard"]

FRUGAL = {
    "per_device_train_batch_size": 1,
    "gradient_checkpointing": True,
    "num_train_epochs": 1,
    # Nothing but the steps.
    "save_strategy": "no",
}
"""What TRL's guides give for little memory: a row at a time. `gradient_accumulation_steps` says how
many of them are a step."""


class Clock:
    """When each step began and ended, in seconds of `perf_counter`."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.ended: list[float] = []

    @property
    def seconds(self) -> list[float]:
        """Return how long each step took."""
        return [end - start for start, end in zip(self.began, self.ended, strict=True)]

    def callback(self) -> Any:
        from transformers import TrainerCallback

        clock = self

        class Callback(TrainerCallback):
            def on_step_begin(self, *_: object, **__: object) -> None:
                clock.began.append(time.perf_counter())

            def on_step_end(self, *_: object, **__: object) -> None:
                clock.ended.append(time.perf_counter())

        return Callback()


def settings(out: Path | str, **own: Any) -> "SFTConfig":
    """Return TRL's settings with our learning rate and optimizer; `own` adds or overrides."""
    from trl import SFTConfig

    usual: dict[str, Any] = {
        "output_dir": str(out),
        "learning_rate": HP.learning_rate,
        "weight_decay": 0.0,
        "report_to": [],
        "disable_tqdm": True,
    }
    return SFTConfig(**usual | own)


def trainer(
    model: Any,
    folder: Path,
    rows: list[dict],
    arguments: "SFTConfig",
    clock: Clock,
    valid_rows: list[dict] | None = None,
) -> "SFTTrainer":
    """Return TRL's trainer of an adapter like ours; `folder` has the tokenizer."""
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import SFTTrainer

    adapter = LoraConfig(
        r=HP.lora_rank,
        lora_alpha=HP.lora_alpha,
        lora_dropout=HP.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return SFTTrainer(
        model=model,
        processing_class=AutoTokenizer.from_pretrained(folder),
        train_dataset=prompts_and_completions(rows),
        eval_dataset=prompts_and_completions(valid_rows) if valid_rows else None,
        peft_config=adapter,
        args=arguments,
        callbacks=[clock.callback()],
    )


def prompts_and_completions(rows: list[dict]) -> "Dataset":
    """Return the rows in the format of which TRL learns the answer alone."""
    from datasets import Dataset

    examples = []
    for row in rows:
        *prompt, answer = row["messages"]
        examples.append({"prompt": prompt, "completion": [answer]})
    return Dataset.from_list(examples)
