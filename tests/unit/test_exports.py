"""The parts of an export that need no torch: facts, names, licences, the Modelfile."""

import http.server
import json
import re
import string
import threading
import zipfile

import jinja2
import pytest

from cookbook import chatml
from cookbook.bases import Base
from cookbook.connected import Connection
from cookbook.errors import ArgumentError, ServiceError
from cookbook.exports import calls, merge, modelfile, source
from cookbook.exports.card import card
from cookbook.exports.facts import Facts
from cookbook.exports.licence import licence_of
from cookbook.exports.vocabulary import Vocabulary
from cookbook.paths import DATA, Home

NAME = "ft:LoRA/cookbook/tiny-zh:local:kefu:" + string.ascii_lowercase[:20]
FACTS = Facts(
    NAME,
    "cookbook/tiny-zh",
    title="客服 1",
    step=3,
    created_at=1_800_000_000,
    data_name="问答.jsonl",
    train_rows=9,
    hyperparameters={"lora_rank": 8},
    train_loss=0.5,
    system_prompt="秘密提示词",
)
WORDS = Vocabulary("qwen2", ["a", "<|im_end|>"], [1, 3], [], None, 1, None, 1, False, "")


def test_facts_are_the_same_after_a_file_but_for_the_system_prompt():
    again = Facts.of_dict(json.loads(json.dumps(FACTS.to_dict())))
    assert again.system_prompt is None
    assert "秘密" not in json.dumps(FACTS.to_dict(), ensure_ascii=False)
    assert again.to_dict() == FACTS.to_dict()


@pytest.mark.parametrize(
    "value", [[], {}, True, "x" * 501, "a\x1b[2J", -1, 10**400, float("nan"), None]
)
def test_a_value_that_cannot_be_is_left_out_of_facts_from_elsewhere(value):
    odd = dict.fromkeys(FACTS.to_dict(), value) | {"model": NAME, "base": "b"}
    facts = Facts.of_dict(odd)
    numbers = (facts.validation_split, facts.trained_share, facts.alpha)
    assert {facts.title, facts.step, facts.date, facts.train_loss} == {None}
    assert set(numbers) <= {None, -1} and facts.hyperparameters == {}


def test_facts_without_names_are_refused():
    with pytest.raises(ValueError):
        Facts.of_dict({"model": NAME})


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("../../etc", "etc"),
        ("客服 1", "1"),
        ("客服", "model"),
        ("a'; rm -rf ~", "a-rm-rf"),
        ("…", "model"),
    ],
)
def test_the_name_of_a_file_is_made_of_harmless_characters(title, name):
    assert Facts("ft:x", "b", title=title).name == name


def test_a_model_is_found_by_its_name_or_by_a_task_that_only_one_has():
    checkpoint = f"{NAME}-ckpt_step_3"
    assert source.chosen(checkpoint, [NAME, checkpoint]) == checkpoint
    assert source.chosen("kefu", [NAME, checkpoint]) == NAME
    for models in ([], [NAME, NAME.replace("abc", "bbb")]):
        with pytest.raises(ArgumentError):
            source.chosen("kefu", models)


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", "Apache-2.0"),
        ("Qwen/Qwen2.5-3B-Instruct", "Qwen Research License"),
        ("Qwen/Qwen2.5-72B-Instruct", "Qwen License"),
        ("someone/Qwen2.5-7B-Instruct", None),
        ("Qwen/Qwen2.5-VL-7B-Instruct", None),
    ],
)
def test_the_licence_of_a_base_is_what_is_known_of_it(name, licence):
    found = licence_of(Base(name, source=name))
    assert (found and found.name) == licence


def test_the_licence_of_a_folder_is_in_the_head_of_its_readme(tmp_path):
    base = Base("mine", source=str(tmp_path))
    assert licence_of(base) is None
    head = "---\nlanguage: zh\nlicense: other\nlicense_name: llama3.2\nlicense_link: LICENSE\n---\n"
    (tmp_path / "README.md").write_text(head + "license: mit\n")
    found = licence_of(base)
    assert (found.id, found.name, found.link) == ("other", "llama3.2", "LICENSE")
    text = card(FACTS, base, "merged", calls.Files())
    assert 'license_name: "llama3.2"' in text and "`llama3.2` (`LICENSE`)" in text


def test_the_licence_of_a_base_that_is_away_is_not_that_of_the_folder_we_are_in(
    tmp_path, monkeypatch
):
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    monkeypatch.chdir(tmp_path)
    for name, source_ in (("mine", ""), ("someone/mine", "someone/mine")):
        assert licence_of(Base(name, source=source_)) is None


def test_no_command_names_a_base_of_a_hub_that_may_be_another(tmp_path):
    for folder in ("", str(tmp_path)):
        base = Base("mine", source=folder)
        for as_read in (True, False):
            [call] = calls.commands(FACTS, base, "peft", calls.Files(), as_read=as_read)
            where = folder if folder and not as_read else "BASE_FOLDER"
            assert call.text.startswith(f"vllm serve {where} ")


@pytest.mark.parametrize(("system", "mark"), [("nt", '"'), ("posix", "'")])
def test_a_folder_with_a_space_is_quoted_as_the_system_reads_it(monkeypatch, system, mark):
    monkeypatch.setattr(calls.os, "name", system)
    path = calls.Files(folder=r"C:\my models").path("a.gguf")
    monkeypatch.undo()
    assert path == rf"{mark}C:\my models/a.gguf{mark}"


def test_no_database_is_opened_under_a_service_of_another_version(tmp_path, monkeypatch):
    home = Home(tmp_path)
    home.database.write_bytes(b"as it was")
    monkeypatch.setattr("cookbook.connection.running", lambda folder: {"version": "0.0.1"})
    with pytest.raises(ServiceError, match="stop"), source.in_data_folder(home, "mine"):
        pass
    assert home.database.read_bytes() == b"as it was"


def test_an_archive_of_a_service_that_could_grow_is_not_unpacked(tmp_path):
    for kind, name in ((zipfile.ZIP_STORED, "stored"), (zipfile.ZIP_DEFLATED, "packed")):
        with zipfile.ZipFile(tmp_path / name, "w", kind) as archive:
            archive.writestr("../adapter_config.json", b" " * 10_000)
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(zipfile.BadZipFile):
        source._unpack(tmp_path / "packed", folder)
    assert list(folder.iterdir()) == []
    source._unpack(tmp_path / "stored", folder)
    assert [path.name for path in folder.iterdir()] == ["adapter_config.json"]


def test_weights_in_another_vendors_names_are_not_taken_twice(tmp_path):
    weights = merge.Weights(tmp_path)
    (tmp_path / "consolidated.safetensors").touch()
    assert merge.Weights(tmp_path).shards == ["consolidated.safetensors"]
    (tmp_path / "model.safetensors").touch()
    assert weights.shards == ["model.safetensors"]


@pytest.mark.parametrize("answer", [b"<html>", b'{"data": 3}', b'{"data": [{}]}'])
def test_what_is_no_list_of_models_is_a_sentence(answer):
    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        service = Connection(url, "key", base_model="x", trains_by_api=True)
        with pytest.raises(ServiceError), source.in_service(service, "kefu"):
            pass
        thread.join()


@pytest.mark.parametrize("form", ["peft", "merged", "gguf", "ollama"])
def test_a_card_says_what_is_not_known(form, monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", "en")
    text = card(Facts(NAME, "mine"), Base("mine", source=""), form, calls.Files())
    assert "not known: the model was trained elsewhere" in text
    assert "Licence: not known" in text and not re.search("[一-龥]", text)


def test_no_card_has_the_system_prompt():
    shipped = Base("cookbook/tiny-zh", source=str(DATA / "models" / "tiny-zh"))
    for form in ("peft", "merged", "gguf", "ollama"):
        text = card(FACTS, shipped, form, calls.Files())
        assert "秘密" not in text and "系统提示词" in text


# The Modelfile


def rendered(template, messages, system):
    """Lay out messages as Go does: the few commands that are used, in Jinja's words."""
    for go, jinja in (
        ("{{- if not .System }}", "{%- if not system %}"),
        ("{{- range .Messages }}", "{%- for one in messages %}"),
        ("{{ .Role }}", "{{ one.role }}"),
        ("{{ .Content }}", "{{ one.content }}"),
    ):
        template = template.replace(go, jinja)
    first, *rest = template.split("{{ end }}")
    ends = ["{% endif %}", "{% endfor %}"] if "if not system" in first else ["{% endfor %}"]
    text = first + "".join(end + part for end, part in zip(ends, rest, strict=True))
    environment = jinja2.Environment(keep_trailing_newline=True, autoescape=False)
    return environment.from_string(text).render(messages=messages, system=system)


@pytest.mark.parametrize("layout", [chatml.render, modelfile._without_default])
def test_the_template_for_ollama_lays_out_what_the_bases_does(layout):
    template = modelfile.template_of(layout)
    for messages in modelfile.CONVERSATIONS[:3]:
        system = messages[0]["content"] if messages[0]["role"] == "system" else ""
        assert rendered(template, messages, system) == layout(messages, True)


def test_another_template_is_left_to_ollama_and_said_so():
    text, notes = modelfile.modelfile("x.gguf", WORDS, lambda messages, opened: "?", "你是客服")
    assert "TEMPLATE" not in text
    assert len(notes) == 1 and "ollama show --modelfile" in notes[0]


def test_a_system_prompt_that_is_not_known_is_not_left_out_silently():
    text, notes = modelfile.modelfile("x.gguf", WORDS, chatml.render, None)
    assert "\nSYSTEM" not in text
    assert len(notes) == 1 and "自己加一行 SYSTEM" in notes[0]


@pytest.mark.parametrize(
    ("prompt", "line"),
    [
        ("你是客服", 'SYSTEM """你是客服"""'),
        ("two\nlines", 'SYSTEM """two\nlines"""'),
        ('say """this"""', 'SYSTEM say """this"""'),
        ('end with "', 'SYSTEM end with "'),
        ('"""\n', None),
    ],
)
def test_a_system_prompt_is_written_as_it_is_or_not_at_all(prompt, line):
    text, notes = modelfile.modelfile("x.gguf", WORDS, chatml.render, prompt)
    if line is None:
        assert "SYSTEM" not in text and len(notes) == 1
    else:
        assert f"\n{line}\n" in text and notes == []
