"""Models that are broken are refused, and never reach the answers of others."""

import json
import os
import sqlite3
import threading

import openai
import pytest
import torch
from fastapi.testclient import TestClient
from openai import OpenAI
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from cookbook.paths import Home
from cookbook.service.app import make_app
from cookbook.service.chat_engine import ChatEngine
from cookbook.service.engine import runner
from cookbook.service.engine.load import load
from cookbook.service.store import Store

INFINITE = float("inf")


def write_adapter(base, folder, rank=4):
    """Write a tuned model that says something else than its base."""
    torch.manual_seed(rank)
    model, _ = load(base)
    settings = {"target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    model = get_peft_model(model, LoraConfig(r=rank, lora_alpha=8, **settings))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder)


def change_weights(folder, change):
    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


def change_config(folder, **values):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def first(weights, part="lora_A"):
    return next(name for name in weights if part in name)


def one_nan(weights):
    weights[first(weights)][0, 0] = float("nan")


def one_infinite(weights):
    weights[first(weights, "lora_B")][0, 0] = INFINITE


def huge(weights):
    """Each weight is a number, and what they make of any row is none."""
    for weight in weights.values():
        weight.copy_(torch.randn_like(weight).clamp(-3, 3) * 5e37)


def one_rank_less(weights):
    name = first(weights)
    weights[name] = weights[name][1:].clone()
    name = name.replace("lora_A", "lora_B")
    weights[name] = weights[name][:, 1:].clone()


def sides_of_two_ranks(weights):
    name = first(weights, "lora_B")
    weights[name] = weights[name][:, 1:].clone()


def another_layer(weights):
    name = first(weights)
    weights[name.replace("layers.0", "layers.9")] = weights[name].clone()


def whole_numbers(weights):
    for name in weights:
        weights[name] = weights[name].to(torch.int8)


def config_of(text):
    return lambda folder: (folder / "adapter_config.json").write_text(text)


def not_a_file(folder):
    (folder / "adapter_model.safetensors").unlink()
    # A pipe, opened to read it, waits for whoever writes into it.
    getattr(os, "mkfifo", os.mkdir)(folder / "adapter_model.safetensors")


BROKEN = {
    "nan": lambda folder: change_weights(folder, one_nan),
    "infinite": lambda folder: change_weights(folder, one_infinite),
    "huge": lambda folder: change_weights(folder, huge),
    "one-rank-less": lambda folder: change_weights(folder, one_rank_less),
    "two-ranks": lambda folder: change_weights(folder, sides_of_two_ranks),
    "another-layer": lambda folder: change_weights(folder, another_layer),
    "rank-of-config": lambda folder: change_config(folder, r=3),
    "rank-zero": lambda folder: change_config(folder, r=0),
    "alpha-nan": lambda folder: change_config(folder, lora_alpha=float("nan")),
    "alpha-huge": lambda folder: change_config(folder, lora_alpha=10**400),
    "whole-numbers": lambda folder: change_weights(folder, whole_numbers),
    "config-deep": config_of("[" * 100_000),
    "config-list": config_of("[1]"),
    "not-a-file": not_a_file,
    "variant": lambda folder: change_config(folder, use_dora=True),
}


@pytest.fixture(scope="module")
def home(small_base, tmp_path_factory):
    """Return a data folder with two good models, of different rank, and all broken ones."""
    home = Home(tmp_path_factory.mktemp("home"))
    Store(home.database)
    db = sqlite3.connect(home.database)
    db.execute("PRAGMA foreign_keys = OFF")
    for name in ("good", "other", *BROKEN):
        write_adapter(small_base, home.model_folder(name), rank=2 if name == "other" else 4)
        BROKEN.get(name, str)(home.model_folder(name))
        columns = "(id, job, base, created_at, step, folder, metrics)"
        row = (name, f"job-{name}", small_base.id, 1, 1, name, "{}")
        db.execute(f"INSERT INTO models {columns} VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    db.commit()
    db.close()
    return home


@pytest.fixture(scope="module")
def client(home, small_base):
    chat = ChatEngine()
    app = make_app(
        Store(home.database), home=home, bases=[small_base], submit=chat.submit, api_key="test"
    )
    chat.load(small_base)
    with TestClient(app) as http:
        settings = {"base_url": "http://testserver/v1", "api_key": "test", "max_retries": 0}
        yield OpenAI(**settings, http_client=http)


def ask(client, model, **options):
    options = {"temperature": 0, "max_tokens": 12} | options
    messages = [{"role": "user", "content": "地铁"}]
    answer = client.chat.completions.create(model=model, messages=messages, **options)
    return answer.choices[0].message.content


def begin_long_answers(client, *models):
    """Have the models answer while others are asked; return a function that waits for the end."""
    options = {"temperature": 1.0, "seed": 1, "max_tokens": 100}
    threads = [
        threading.Thread(target=ask, args=(client, model), kwargs=options) for model in models
    ]
    for thread in threads:
        thread.start()
    return lambda: [thread.join() for thread in threads]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_is_refused_and_others_answer_as_before(client, name):
    models = ("good", "other", "small")
    before = [ask(client, model) for model in models]
    wait = begin_long_answers(client, *models)
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as refusal:
            ask(client, name, stream=stream)
        assert refusal.value.code == "model_broken"
        assert "重新微调" in str(refusal.value)
    assert [ask(client, model) for model in models] == before
    wait()
    assert [ask(client, model) for model in models] == before


def test_an_answer_that_breaks_the_pass_ends_alone_and_the_others_go_on(
    client, small_base, monkeypatch
):
    before = [ask(client, model, max_tokens=40) for model in ("good", "small")]
    model_of_engine, poisoned = [], []
    plain = runner.Reading

    def reading(model, prompts, *options):
        model_of_engine.append(model)
        if any(prompt in poisoned for prompt in prompts):
            raise RuntimeError("this prompt breaks the pass")
        return plain(model, prompts, *options)

    monkeypatch.setattr(runner, "Reading", reading)
    _, tokenizer = load(small_base)
    message = [{"role": "user", "content": "坏的问题"}]
    text = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    poisoned.append(tokenizer(text, add_special_tokens=False)["input_ids"])
    answers = {}

    def keep(model):
        answers[model] = ask(client, model, max_tokens=40)

    threads = [threading.Thread(target=keep, args=(model,)) for model in ("good", "small")]
    for thread in threads:
        thread.start()
    with pytest.raises(openai.InternalServerError, match="RuntimeError"):
        client.chat.completions.create(model="small", messages=message, max_tokens=4)
    for thread in threads:
        thread.join()
    assert [answers["good"], answers["small"]] == before


def test_a_step_that_fails_once_is_made_up_for(client, monkeypatch):
    before = [ask(client, model, max_tokens=20) for model in ("good", "small")]
    plain, failed = runner.Runner._continue, []

    def fail_once(self, batch):
        if len(self.running) > 1 and not failed:
            failed.append(True)
            batch.next_inputs()
            raise RuntimeError("in the middle of a pass")
        plain(self, batch)

    monkeypatch.setattr(runner.Runner, "_continue", fail_once)
    answers = {}

    def keep(model):
        answers[model] = ask(client, model, max_tokens=20)

    while not failed:
        threads = [threading.Thread(target=keep, args=(model,)) for model in ("good", "small")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [answers["good"], answers["small"]] == before
