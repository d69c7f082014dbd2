"""Make a base of a real model's shape with random weights: for benches, tests and a dry run.

    python tools/random_base.py Qwen2.5-0.5B /tmp/half-b
    python tools/random_base.py Qwen2.5-7B /tmp/seven-b --layers 4
    python tools/random_base.py small /tmp/small        real vocabulary, two thin layers: quick

It has Qwen2.5's sizes, whole vocabulary and tokenizer, and the course's chat template. It says
nothing sensible, but its speed and its memory are those of the real one, and no hub is needed.
"""

import argparse
from pathlib import Path

import torch
from tiny_base.cut_vocabulary import make_tokenizer
from transformers import Qwen2Config, Qwen2ForCausalLM

from cookbook import bases
from cookbook.shapes import Shape

SEED = 0
SHARD = "4GB"
SMALL = Shape(
    hidden_size=64,
    intermediate_size=192,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    vocab_size=151936,
    tied=True,
)


def named_shape(name: str) -> Shape:
    """Return the sizes of `small`, or of a published model such as `Qwen2.5-0.5B`."""
    if name == "small":
        return SMALL
    shape = bases.card(f"Qwen/{name}-Instruct").shape
    if shape is None:
        raise SystemExit(f"no sizes are known of {name}")
    return shape


def write(shape: Shape, folder: Path, layers: int | None = None) -> Path:
    """Write a checkpoint in bfloat16 of this shape, or of fewer layers; return its folder."""
    tokenizer = make_tokenizer(None)
    config = Qwen2Config(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=layers or shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        max_position_embeddings=32768,
        rope_theta=1e6,
        tie_word_embeddings=shape.tied,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=torch.bfloat16,
    )
    torch.manual_seed(SEED)
    # Made in bfloat16 at once: in float32 a large one would take twice its memory.
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        model = Qwen2ForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    # Tokens beyond the tokenizer's, which a real vocabulary is padded with, are never said.
    model.save_pretrained(folder, max_shard_size=SHARD)
    tokenizer.save_pretrained(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shape", help="small, or a model such as Qwen2.5-0.5B")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, help="fewer layers than the model has")
    args = parser.parse_args()
    write(named_shape(args.shape), args.folder, args.layers)


if __name__ == "__main__":
    main()
