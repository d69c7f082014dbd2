"""Serve a Qwen2 checkpoint with llama.cpp, for comparison.

    python tests/bench/llama_cpp.py FOLDER PORT [--weights f32|f16|bf16] [--context TOKENS]

This is llama.cpp's own HTTP server as `xllamacpp` carries it, compiled for AVX2 and not for the
machine at hand, on two threads. The weights are written as GGUF, by default in float32, so that it
computes with the same ones as the others. No prompt is kept for the next request.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import gguf
import torch
import xllamacpp
from safetensors.torch import load_file

SLOTS = 16  # requests at once
CONTEXT = 512  # tokens of each
THREADS = 2
WEIGHTS = {
    "f32": (torch.float32, gguf.GGMLQuantizationType.F32),
    "f16": (torch.float16, gguf.GGMLQuantizationType.F16),
    "bf16": (torch.bfloat16, gguf.GGMLQuantizationType.BF16),
}


def write_gguf(folder: Path, path: Path, weights: str) -> None:
    """Write the checkpoint of `folder` in llama.cpp's format, its matrices as `weights`."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(path, "qwen2")
    add_sizes(writer, config)
    add_vocabulary(writer, folder, config["vocab_size"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template((folder / "chat_template.jinja").read_text(encoding="utf-8"))
    # llama.cpp has its own names for the weights.
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config["num_hidden_layers"])
    for name, tensor in load_file(folder / "model.safetensors").items():
        name = names.get_name(name, try_suffixes=(".weight", ".bias"))
        # Norms and biases are float32 in every GGUF.
        dtype, kind = WEIGHTS[weights if tensor.dim() > 1 else "f32"]
        # As bytes, since numpy has no bfloat16.
        array = tensor.to(dtype).view(torch.uint8).numpy()
        writer.add_tensor(name, array, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_sizes(writer: gguf.GGUFWriter, config: dict) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


def add_vocabulary(writer: gguf.GGUFWriter, folder: Path, size: int) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    texts = {number: text for text, number in tokenizer["model"]["vocab"].items()} | special
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    # Byte-level BPE as GPT-2's, with Qwen2's cut into words before it.
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    # A vocabulary may be padded with tokens that no text has.
    padding = {number: f"[PAD{number}]" for number in range(size) if number not in texts}
    texts |= padding
    special |= padding
    writer.add_token_list([texts[i] for i in range(size)])
    writer.add_token_types([control if i in special else normal for i in range(size)])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--weights", choices=WEIGHTS, default="f32")
    parser.add_argument("--context", type=int, default=CONTEXT, help="tokens of a request")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(temporary) / "base.gguf"
        write_gguf(args.folder, weights, args.weights)
        params = xllamacpp.CommonParams()
        params.model.path = str(weights)
        params.port = args.port
        params.n_parallel = SLOTS
        params.n_ctx = SLOTS * args.context
        params.cpuparams.n_threads = THREADS
        params.cpuparams_batch.n_threads = THREADS
        params.cache_prompt = False
        params.cache_ram_mib = 0
        # It serves as long as it is referred to; this process waits to be ended.
        server = xllamacpp.Server(params)
        print(server.listening_address, flush=True)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
