"""A model that was taken home answers in other engines as it does in the service.

Twenty words are asked greedily. Every engine gets the same adapter and the same base, and what they
compute with differs in its rounding alone:

    PEFT, float32               as the service
    merged, bfloat16 weights    W + scale · B A is rounded to 8 significant bits
    GGUF f16                    rounded to 11
    GGUF q8_0                   8 bits with one scale for 32 weights

So an answer may differ, but only from a token on at which two were almost equally probable: by how
much at most is `NEAR`, in log-probability, as the service's own arithmetic (PEFT) has it.
"""

import json
import shutil

import pytest
import torch
from llama import Llama
from openai import OpenAI
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from support import SMALL, write_base
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from cookbook import jobs, paths, zhishuo
from cookbook.exports import adapter, export, gguf_file, merge, vocabulary
from cookbook.paths import DATA

WORDS = (DATA / "zhishuoxinyu" / "eval_words.txt").read_text(encoding="utf-8").split()[:20]
MAX_TOKENS = 60
NEAR = {"merged": 0.1, "f16": 0.05, "q8_0": 0.5}
EQUAL = {"merged": 18, "f16": 19, "q8_0": 15}
"""Answers of the twenty that must be the same, whatever the next training gives."""


def conversation(word):
    return [
        {"role": "system", "content": zhishuo.SHORT_PROMPT},
        {"role": "user", "content": word},
    ]


@pytest.fixture(scope="module")
def tuned(service):
    """(the model's name, its twenty answers): two epochs over 64 rows of the tiny corpus."""
    with OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client:
        lines = (DATA / "zhishuoxinyu" / "train_tiny.jsonl").read_bytes().splitlines(keepends=True)
        rows = ("/home/me/内部 rows.jsonl", b"".join(lines[:64]))
        upload = client.files.create(file=rows, purpose="fine-tune")
        job = client.fine_tuning.jobs.create(
            model=service.base_model,
            training_file=upload.id,
            suffix="taken-home",
            method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
        )
        job = jobs.watch(client, job.id, every=0.3)
        answers = {}
        for word in WORDS:
            answer = client.chat.completions.create(
                model=job.fine_tuned_model,
                messages=conversation(word),
                temperature=0,
                max_tokens=MAX_TOKENS,
            )
            answers[word] = answer.choices[0].message.content
    return job.fine_tuned_model, answers


@pytest.fixture(scope="module")
def exported(tuned, tmp_path_factory):
    """form -> its folder."""
    folder = tmp_path_factory.mktemp("exports")
    found = {}
    for name, form, kind in (
        ("peft", "peft", "f16"),
        ("merged", "merged", "f16"),
        ("ollama", "ollama", "f16"),
        ("q8_0", "gguf", "q8_0"),
    ):
        done = export("taken-home", folder / name, form, type=kind, home=paths.home())
        assert done.model == tuned[0]
        found[name] = folder / name
    return found


@pytest.fixture(scope="module")
def peft(exported):
    """The adapter in plain PEFT, in float32, and its tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(exported["peft"])
    base = AutoModelForCausalLM.from_pretrained(DATA / "models" / "tiny-zh", dtype=torch.float32)
    return PeftModel.from_pretrained(base, exported["peft"]).eval(), tokenizer


@torch.inference_mode()
def answer(model, tokenizer, word):
    ids = tokenizer.apply_chat_template(
        conversation(word), add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(**ids, max_new_tokens=MAX_TOKENS, do_sample=False)
    return tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)


@torch.inference_mode()
def gap(peft, word, one, other):
    """How much less probable, by its logarithm, the other answer's first own token is."""
    model, tokenizer = peft
    prompt = tokenizer.apply_chat_template(
        conversation(word), add_generation_prompt=True, tokenize=False
    )
    ids = [tokenizer(f"{prompt}{text}<|im_end|>")["input_ids"] for text in (one, other)]
    length = next(i for i, pair in enumerate(zip(*ids, strict=False)) if pair[0] != pair[1])
    logits = model(input_ids=torch.tensor([ids[0][:length]])).logits[0, -1]
    return float(logits[ids[0][length]] - logits[ids[1][length]])


def assert_same(peft, answers, found, name):
    """Assert that the answers are the service's, but for near ties."""
    gaps = {}
    for word, text in answers.items():
        if found[word] != text:
            gaps[word] = gap(peft, word, text, found[word])
    assert len(answers) - len(gaps) >= EQUAL[name], gaps
    assert all(0 <= one < NEAR[name] for one in gaps.values()), gaps


def test_the_adapter_answers_in_plain_peft_as_in_the_service(tuned, peft):
    assert {word: answer(*peft, word) for word in WORDS} == tuned[1]


def test_the_merged_folder_answers_in_plain_transformers_as_the_service(tuned, exported, peft):
    tokenizer = AutoTokenizer.from_pretrained(exported["merged"])
    model = AutoModelForCausalLM.from_pretrained(exported["merged"], dtype=torch.float32).eval()
    found = {word: answer(model, tokenizer, word) for word in WORDS}
    assert_same(peft, tuned[1], found, "merged")


@pytest.mark.parametrize("name", ["f16", "q8_0"])
def test_a_gguf_file_answers_in_llama_cpp_as_the_service(tuned, exported, peft, name):
    folder = exported["ollama" if name == "f16" else name]
    [path] = folder.glob(f"taken-home-{name}.gguf")
    with Llama(path) as llama:
        found = {word: llama.answer(conversation(word), MAX_TOKENS) for word in WORDS}
        # The chat template in the file lays out the same tokens.
        used = llama.chat(conversation("猫"), 1)["usage"]["prompt_tokens"]
    ids = peft[1].apply_chat_template(conversation("猫"), add_generation_prompt=True)
    assert used == len(ids["input_ids"])
    assert_same(peft, tuned[1], found, name)


def test_a_merged_folder_keeps_the_bases_type_and_its_tied_embedding(exported):
    base = load_file(DATA / "models" / "tiny-zh" / "model.safetensors")
    merged = load_file(exported["merged"] / "model.safetensors")
    assert merged.keys() == base.keys() and "lm_head.weight" not in merged
    for name, tensor in merged.items():
        assert tensor.dtype == base[name].dtype and tensor.shape == base[name].shape
        is_changed = not torch.equal(tensor, base[name])
        assert is_changed == name.endswith("_proj.weight"), name


def test_nothing_of_rows_keys_and_paths_is_in_an_export(service, exported):
    rows = (DATA / "zhishuoxinyu" / "train_tiny.jsonl").read_text(encoding="utf-8")
    answers = [json.loads(line)["messages"][2]["content"] for line in rows.splitlines()[:64]]
    private = [service.api_key, str(paths.home()), str(DATA), "/home/me", "ftjob-", *answers]
    for folder in exported.values():
        for path in folder.iterdir():
            content = path.read_bytes()
            assert not [text for text in private if text.encode() in content], path
            # The system prompt is in the Modelfile, and in no other file.
            has_prompt = zhishuo.SHORT_PROMPT.encode() in content
            assert has_prompt == (path.name == "Modelfile"), path
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert "`内部 rows.jsonl`，训练 58 条" in card and "第 16 步" in card
        assert 'license: "apache-2.0"' in card and "| learning_rate | 0.0001 |" in card


def test_the_modelfile_lays_out_chatml_with_the_training_prompt(exported):
    text = (exported["ollama"] / "Modelfile").read_text(encoding="utf-8")
    assert text.startswith('FROM ./taken-home-f16.gguf\nTEMPLATE """')
    assert "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n" in text
    assert f'SYSTEM """{zhishuo.SHORT_PROMPT}"""' in text
    assert 'PARAMETER stop "<|im_end|>"' in text and "PARAMETER temperature 0.7" in text


def test_a_service_gives_its_model_over_http_and_it_is_the_same(service, exported, tmp_path):
    done = export("taken-home", tmp_path / "mine", "merged", service=service)
    assert "model.safetensors" in done.files
    for name in ("model.safetensors", "config.json"):
        mine = (tmp_path / "mine" / name).read_bytes()
        assert mine == (exported["merged"] / name).read_bytes()


def test_an_archive_holds_the_files_of_the_folder(tuned, exported, tmp_path):
    done = export("taken-home", tmp_path / "mine", zip=True, home=paths.home())
    assert done.folder == tmp_path / "mine.zip"
    shutil.unpack_archive(done.folder, tmp_path / "unpacked")
    for path in (tmp_path / "unpacked").iterdir():
        assert path.read_bytes() == (exported["peft"] / path.name).read_bytes()
    assert len(done.files) == len(list(exported["peft"].iterdir()))


# Other shapes: an adapter as PEFT writes it, on bases that transformers makes.

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 5000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
SHAPES = {
    "qwen2": {"tie_word_embeddings": False},
    "qwen3": {"tie_word_embeddings": True, "head_dim": 16},
    "llama": {"tie_word_embeddings": False, "rope_parameters": LLAMA3_ROPE},
}
ADAPTERS = {
    "all": {"target_modules": "all-linear"},
    "few": {"target_modules": ["q_proj", "v_proj"], "use_rslora": True},
}


def as_llama3(folder):
    """Let the tokenizer cut words as Llama 3's does, with a token before every text."""
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    [pattern] = [words for words, ignores in vocabulary.PRE_TOKENIZERS if ignores]
    tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = pattern
    tokenizer["model"]["ignore_merges"] = True
    tokenizer["normalizer"] = None
    bos = tokenizer["added_tokens"][0]
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": bos["content"], "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [
            {"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {
            bos["content"]: {
                "id": bos["content"],
                "ids": [bos["id"]],
                "tokens": [bos["content"]],
            }
        },
    }
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["bos_token"] = bos["content"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


@pytest.fixture(scope="module")
def small_bases(tmp_path_factory):
    """kind -> the folder of a base with random weights in several shards."""
    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh")
    found = {}
    for kind, sizes in SHAPES.items():
        folder = tmp_path_factory.mktemp("bases") / kind
        write_base(folder, tokenizer, **sizes | {"tie_word_embeddings": False})
        if kind != "qwen2":
            config = (Qwen3Config if kind == "qwen3" else LlamaConfig)(
                vocab_size=len(tokenizer),
                max_position_embeddings=512,
                eos_token_id=tokenizer.eos_token_id,
                **SMALL | sizes,
            )
            torch.manual_seed(0)
            model = (Qwen3ForCausalLM if kind == "qwen3" else LlamaForCausalLM)(config)
            (folder / "model.safetensors").unlink()
            model.save_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        # Larger than a new model's, so that tokens are told apart.
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.data.mul_(4)
        (folder / "model.safetensors").unlink()
        model.save_pretrained(folder, max_shard_size="700KB")
        if kind == "llama":
            as_llama3(folder)
        found[kind] = folder
    return found


@pytest.fixture(params=["qwen2-all", "qwen3-few", "llama-all"])
def other(request, small_bases, tmp_path):
    """(folder of the base, folder of the adapter, the two in PEFT)."""
    kind, which = request.param.split("-")
    base = AutoModelForCausalLM.from_pretrained(small_bases[kind], dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=6, task_type="CAUSAL_LM", **ADAPTERS[which])
    torch.manual_seed(1)
    model = get_peft_model(base, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # it begins at zero, where nothing is changed
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(tmp_path / "adapter")
    return small_bases[kind], tmp_path / "adapter", model.eval()


@torch.inference_mode()
def test_a_base_of_another_shape_is_merged_as_peft_computes_it(other, tmp_path):
    folder, adapter_folder, model = other
    weights, lora = merge.Weights(folder), adapter.read(adapter_folder, "x")
    merge.check(weights, lora, name="x", base_id="y")
    target = tmp_path / "merged"
    target.mkdir()
    merge.write(weights, lora, target, name="x")
    assert len(weights.shards) > 1
    assert sorted(path.name for path in target.glob("*.safetensors*")) == sorted(
        path.name for path in folder.glob("*.safetensors*")
    )
    shutil.copy(folder / "config.json", target)
    merged = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32).eval()
    ids = torch.arange(100, 140)[None]
    want = model(input_ids=ids).logits
    torch.testing.assert_close(merged(input_ids=ids).logits, want, atol=2e-3, rtol=1e-3)


@torch.inference_mode()
def test_a_gguf_of_another_shape_computes_in_llama_cpp_as_in_peft(other, tmp_path):
    folder, adapter_folder, model = other
    weights, lora = merge.Weights(folder), adapter.read(adapter_folder, "x")
    path = tmp_path / "x.gguf"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    words = gguf_file.check(folder, config, "y")
    gguf_file.write(weights, lora, path, kind="f16", name="x", words=words)
    ids = list(range(100, 200))
    want = model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    with Llama(path) as llama:
        found = llama.next_logprobs(ids)
    # float16 weights, against float32.
    for number, logprob in found.items():
        assert logprob == pytest.approx(float(want[number]), abs=0.05)
    assert want.argmax() == max(found, key=found.get)


TEXTS = (
    "怎么退款？我上周买的 3 件衣服，订单号是 2024110512345，还没有收到。",
    "It's 12:30, we'LL  see\n\n  what\tthe 1000000 users' data   says…  ",
    "<|im_start|>user\n你好<|im_end|>\nＡＢＣ ①②③ 😀👩‍💻 ñandú Ωmega naïve",
    "    def f(x):\r\n        return x**2  # 注释\n",
)


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_llama_cpp_cuts_texts_into_the_same_tokens(small_bases, tmp_path, kind):
    folder = small_bases[kind]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    path = tmp_path / "x.gguf"
    gguf_file.write(merge.Weights(folder), None, path, kind="f16", name="x")
    with Llama(path) as llama:
        for text in TEXTS:
            found = llama.tokens(text, add_special=True, parse_special=True)
            assert found == tokenizer(text)["input_ids"], text
    assert (tokenizer("你好")["input_ids"][0] == tokenizer.bos_token_id) == (kind == "llama")
