"""Serve a Qwen2 checkpoint by llama.cpp, for comparison:  python tests/bench/llama_cpp.py FOLDER PORT

llama.cpp's own HTTP server as `xllamacpp` carries it, compiled for AVX2 and not for the machine at hand, on two threads.
The weights are written as GGUF in float32, so that it computes with the same ones as the others.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import gguf
import xllamacpp
from safetensors.torch import load_file

SLOTS, CONTEXT = 16, 512  # requests at once, tokens each


def write_gguf(folder: Path, path: Path) -> None:
    """The checkpoint of `folder` in llama.cpp's format."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    names = {number: name for name, number in tokenizer["model"]["vocab"].items()} | special
    kinds = [
        gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL
        for i in range(config["vocab_size"])
    ]
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([names[i] for i in range(config["vocab_size"])])
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template((folder / "chat_template.jinja").read_text(encoding="utf-8"))
    tensors = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config["num_hidden_layers"])
    for name, tensor in load_file(folder / "model.safetensors").items():
        writer.add_tensor(
            tensors.get_name(name, try_suffixes=(".weight", ".bias")), tensor.float().numpy()
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "base.gguf"
        write_gguf(folder, copy)
        params = xllamacpp.CommonParams()
        params.model.path, params.port = str(copy), port
        params.n_parallel, params.n_ctx = SLOTS, SLOTS * CONTEXT
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
        server = xllamacpp.Server(params)
        print(server.listening_address, flush=True)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
