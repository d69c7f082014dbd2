"""Adapters that PEFT wrote elsewhere are asked here, and say what PEFT says."""

import io
import json
import shutil
import subprocess
import sys
import threading
import zipfile

import pytest
import torch
from fastapi.testclient import TestClient
from openai import OpenAI
from peft import LoraConfig, PeftModel, get_peft_model

from cookbook import bases
from cookbook.exports import export
from cookbook.imports import import_model
from cookbook.paths import Home
from cookbook.service import status
from cookbook.service.app import make_app
from cookbook.service.chat_engine import ChatEngine
from cookbook.service.engine.load import load
from cookbook.service.recovery import find_models
from cookbook.service.room_view import room_view
from cookbook.service.store import Store

BASE = bases.installed()[0]
WORDS = ["春天", "加班"]
KINDS = {
    "attention": {"target_modules": ["q_proj", "v_proj"]},
    "rslora": {"target_modules": "all-linear", "use_rslora": True},
    "pattern": {"target_modules": r".*layers\.[12]\.mlp\.(up|down)_proj"},
    "one-layer": {"target_modules": ["o_proj"], "layers_to_transform": [2]},
    "full": {"target_modules": "all-linear"},
}

WEAK = {"pattern": 1.0, "one-layer": 1.0}
"""On so few layers, weights must be larger to say anything else than the base."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return PEFT's own folders, as another tool would leave them."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for number, (name, settings) in enumerate(KINDS.items()):
        torch.manual_seed(number)
        model, _ = load(BASE)
        config = LoraConfig(r=2 + number, lora_alpha=16, task_type="CAUSAL_LM", **settings)
        model = get_peft_model(model, config)
        for weight_name, weight in model.named_parameters():
            if "lora_B" in weight_name:
                torch.nn.init.normal_(weight, std=WEAK.get(name, 0.2))
        if name == "attention":
            # Half of the tools save in the type that they computed in.
            model = model.to(torch.bfloat16)
        model.save_pretrained(folder / name)
        (folder / name / "optimizer.pt").write_bytes(b"\x80")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def app(home):
    chat = ChatEngine()
    home.folder.mkdir(exist_ok=True)
    app = make_app(
        Store(home.database), home=home, bases=[BASE], submit=chat.submit, api_key="test"
    )
    chat.load(BASE)
    return app


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app) as http:
        settings = {"base_url": "http://testserver/v1", "api_key": "test", "max_retries": 0}
        yield OpenAI(**settings, http_client=http)


@pytest.fixture(scope="module")
def models(trained, home, client):
    """Return the names of all, imported while the service runs."""
    assert len(client.models.list().data) == 1
    found = {name: import_model(trained / name, home=home.folder) for name in KINDS}
    listed = {model.id for model in client.models.list()}
    assert {one.model for one in found.values()} | {BASE.id} == listed
    # PEFT's own card has the base's folder on that machine in it.
    left = ("README.md", "optimizer.pt")
    assert all(one.left_out == left for one in found.values())
    return {name: one.model for name, one in found.items()}


def ask(client, model, word):
    messages = [{"role": "user", "content": word}]
    answer = client.chat.completions.create(
        model=model, messages=messages, temperature=0, max_tokens=12
    )
    return answer.choices[0].message.content


@torch.inference_mode()
def peft_says(folder, word):
    """Return the greedy answer of plain PEFT, from the folder as it came."""
    model, tokenizer = load(BASE)
    model = PeftModel.from_pretrained(model, folder).eval()
    messages = [{"role": "user", "content": word}]
    ids = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    ends = model.generation_config.eos_token_id
    out = model.generate(
        **ids, do_sample=False, max_new_tokens=12, eos_token_id=ends, repetition_penalty=1.0
    )
    return tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("name", KINDS)
def test_greedy_answers_are_those_of_plain_peft(trained, models, client, name):
    answers = [ask(client, models[name], word) for word in WORDS]
    assert answers == [peft_says(trained / name, word) for word in WORDS]
    assert answers != [ask(client, BASE.id, word) for word in WORDS]


def test_adapters_on_few_layers_and_on_all_answer_side_by_side(models, client):
    asked = [(model, word) for word in WORDS for model in (*models.values(), BASE.id)]
    alone = [ask(client, *one) for one in asked]
    together = [None] * len(asked)

    def put(i):
        together[i] = ask(client, *asked[i])

    threads = [threading.Thread(target=put, args=(i,)) for i in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


@pytest.mark.parametrize("name", ["attention", "full"])
def test_two_services_exchange_a_model_as_one_zip(models, client, tmp_path, name):
    http = client._client
    sent = http.get(f"/v1/models/{models[name]}/export", headers={"authorization": "Bearer test"})
    assert sent.status_code == 200
    archive = tmp_path / "model.zip"
    archive.write_bytes(sent.content)
    with zipfile.ZipFile(io.BytesIO(sent.content)) as file:
        assert file.testzip() is None
        record = json.loads(file.read("cookbook-model.json"))
    assert record["model"] == models[name] and "owner" not in record
    other = Home(tmp_path / "other")
    found = import_model(archive, home=other.folder)
    assert f":local:{name}:" in found.model and found.model != models[name]
    chat = ChatEngine()
    app = make_app(
        Store(other.database), home=other, bases=[BASE], submit=chat.submit, api_key="test"
    )
    chat.load(BASE)
    with TestClient(app) as http:
        settings = {"base_url": "http://testserver/v1", "api_key": "test", "max_retries": 0}
        theirs = OpenAI(**settings, http_client=http)
        answers = [ask(theirs, found.model, word) for word in WORDS]
    assert answers == [ask(client, models[name], word) for word in WORDS]


def test_the_zip_of_an_export_comes_back_as_the_model_that_it_was(models, home, tmp_path):
    export(models["rslora"], tmp_path / "out", home=home.folder, zip=True, progress=False)
    archive = next(tmp_path.rglob("*.zip"))
    again = import_model(archive, home=home.folder)
    assert again.was_there and again.model == models["rslora"]
    assert import_model(archive, home=tmp_path / "other").layers == 28


def test_a_model_without_a_job_has_its_place_in_every_view(models, home, app, client):
    store = Store(home.database)
    seen = room_view(app.state.shared)
    assert {model.id for model in seen.models} == set(models.values()) and seen.jobs == []
    assert status.headline(store, home.folder)
    assert status.jobs(store) == [] and status.kept(store, home.folder) == []
    assert store.models_kept() == {"local": len(KINDS)}
    assert find_models(store, home) == []
    assert client.fine_tuning.jobs.list().data == []


def test_it_is_shared_found_again_and_deleted_as_any_other(trained, home, client, tmp_path):
    # Another scale: a model of its own.
    source = shutil.copytree(trained / "full", tmp_path / "mine")
    config = json.loads((source / "adapter_config.json").read_text())
    (source / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 1}))
    model = import_model(source, home=home.folder).model
    client.post(f"/models/{model}/share", cast_to=object)
    person = Store(home.database).of("anna")
    assert [one.id for one in person.models()] == [model]
    with Store(home.database)._database.write() as db:
        db.execute("DELETE FROM models WHERE id = ?", (model,))
    store = Store(home.database)
    assert any(model in line for line in find_models(store, home))
    assert store.model(model).shared
    before = len(list(home.models.iterdir()))
    assert client.models.delete(model).deleted
    assert store.model(model) is None and len(list(home.models.iterdir())) == before - 1


def test_the_command_brings_a_model_into_a_service_that_runs(trained, service):
    command = [sys.executable, "-m", "cookbook", "import", str(trained / "attention")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    with OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as running:
        tuned = [one.id for one in running.models.list() if one.id.startswith("ft:")]
        model = next(one for one in tuned if one in done.stdout)
        assert ask(running, model, WORDS[0]) == peft_says(trained / "attention", WORDS[0])
        running.models.delete(model)
