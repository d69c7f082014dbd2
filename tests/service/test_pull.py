"""Base models downloaded from servers that speak the hubs' APIs, with what breaks on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import hubs
import pytest

from cookbook import bases
from cookbook.errors import ArgumentError, BaseAway, DiskFull, ModelError
from cookbook.hubs import cache, command, pull, room, web

MODEL = "Qwen/Small-Instruct"
FROM = ["huggingface", "modelscope"]
WEIGHTS = "model.safetensors"


@pytest.fixture
def hub(small_base, tmp_path, monkeypatch):
    """Serve a small base at both hubs, with empty caches here and no pauses."""
    monkeypatch.setattr(web, "pause", lambda seconds: None)
    with hubs.Hubs() as server:
        server.use(monkeypatch, tmp_path)
        extra = {"pytorch_model.bin": b"x" * 99, "small-q4.gguf": b"x" * 99, "README.md": b"x"}
        server.models[MODEL] = hubs.files(Path(small_base.source)) | extra
        yield server


def fetched(source="huggingface", **options):
    """Download the model; return its folder."""
    remote = pull.look_up(options.pop("name", MODEL), source, **options)
    for _ in remote.download():
        pass
    return remote.folder


def content(hub, folder):
    """Assert that every file is the one that the hub has; return their names."""
    found = hubs.files(folder)
    assert found.items() <= hub.models[MODEL].items()
    return set(found)


@pytest.mark.parametrize("source", FROM)
def test_what_is_needed_is_downloaded_and_can_be_loaded_offline(hub, source, monkeypatch):
    names = content(hub, fetched(source))
    assert {"config.json", "tokenizer.json", "chat_template.jinja", WEIGHTS} <= names
    assert not {"pytorch_model.bin", "small-q4.gguf", "README.md"} & names

    from transformers import AutoModelForCausalLM

    monkeypatch.setenv("COOKBOOK_BASE_MODEL", MODEL)
    base = bases.installed()[0]
    assert (base.hub, base.reference, base.is_missing) == (source, MODEL, False)
    assert AutoModelForCausalLM.from_pretrained(base.source, local_files_only=True)


@pytest.mark.parametrize("source", FROM)
def test_what_is_there_is_not_downloaded_again(hub, source):
    fetched(source)
    hub.requests.clear()
    fetched(source)
    assert len(hub.requests) == 1  # the listing


@pytest.mark.parametrize("source", FROM)
def test_a_mirror_with_a_password_is_used_and_its_password_never_shown(
    hub, source, monkeypatch, caplog
):
    caplog.set_level("DEBUG")
    hub.password = "me:p@ss/word"
    variable = {"huggingface": "HF_ENDPOINT", "modelscope": "MODELSCOPE_ENDPOINT"}[source]
    mirror = hub.address.replace("//", "//me:{}@")
    monkeypatch.setenv(variable, mirror.format("p%40ss%2Fword"))
    assert WEIGHTS in content(hub, fetched(source))
    with pytest.raises(ModelError) as missing:
        fetched(source, name="Qwen/None")
    monkeypatch.setenv(variable, mirror.format("wr0ng"))
    with pytest.raises(ModelError, match=f"{variable} 里的用户名和密码") as refused:
        fetched(source)
    hub.statuses += [503] * web.ATTEMPTS
    with pytest.raises(BaseAway, match="127.0.0.1") as away:
        fetched(source)
    shown = [caplog.text, *(str(error.value) for error in (missing, refused, away))]
    assert not any(secret in text for text in shown for secret in ("wr0ng", "p%40ss", "p@ss"))


@pytest.fixture
def own_client(hub, monkeypatch):
    """Return the download of the hub's own package, which read its settings long before."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    folder = cache.huggingface_home() / "hub"

    def download(**options):
        return huggingface_hub.snapshot_download(
            MODEL, cache_dir=folder, endpoint=hub.address, **options
        )

    return download


def test_the_hubs_own_client_finds_what_was_pulled(hub, own_client):
    folder = fetched()
    assert own_client(local_files_only=True) == str(folder)
    # It fetches what was left out, not what is there.
    hub.requests.clear()
    assert own_client() == str(folder)
    fetched_by_it = [path for method, path, _ in hub.requests if method == "GET"]
    assert not [path for path in fetched_by_it if path.endswith(WEIGHTS)]
    assert "pytorch_model.bin" in hubs.files(folder)


def test_what_the_hubs_own_client_fetched_is_found(hub, own_client):
    folder = own_client()
    found = cache.find(MODEL)
    assert (str(found.folder), found.unfinished) == (folder, ())
    hub.requests.clear()
    fetched()
    assert not hub.weights_asked()


@pytest.mark.parametrize("source", FROM)
def test_a_broken_download_goes_on_where_it_ended(hub, source):
    hub.cut = [100_000, 50_000]
    content(hub, fetched(source))
    assert hub.weights_asked() == [None, "bytes=100000-", "bytes=150000-"]


def test_a_server_without_ranges_sends_all_again(hub):
    hub.cut, hub.ranges = [100_000], False
    content(hub, fetched())
    assert hub.weights_asked() == [None, "bytes=100000-"]


def test_one_that_breaks_for_good_says_how_far_it_came_and_goes_on_later(hub):
    hub.cut = [100_000, 0, 0, 0]
    with pytest.raises(BaseAway, match=rf"{WEIGHTS}，已有 \d+%.*从断点继续"):
        fetched()
    found = cache.find(MODEL)
    assert found.unfinished == (WEIGHTS,)
    content(hub, fetched())
    assert hub.weights_asked()[-1] == "bytes=100000-"


def test_busy_answers_are_waited_for(hub):
    hub.statuses = [429, 503]
    content(hub, fetched())
    hub.statuses = [503] * 3
    with pytest.raises(BaseAway, match="HTTP 503.*modelscope"):
        fetched()


@pytest.mark.parametrize("source", FROM)
def test_a_damaged_file_is_fetched_again_then_refused(hub, source):
    hub.damaged = 1
    content(hub, fetched(source))
    shutil.rmtree(cache.find(MODEL).folder.parent.parent)
    hub.damaged = 2
    with pytest.raises(ModelError, match=f"{WEIGHTS}.*校验和"):
        fetched(source)
    assert WEIGHTS in cache.find(MODEL).unfinished


@pytest.mark.parametrize("source", FROM)
def test_a_file_that_was_damaged_here_is_replaced(hub, source):
    folder = fetched(source)
    file = (folder / WEIGHTS).resolve()
    original = file.read_bytes()
    file.write_bytes(original[:-1] + b"\0\1"[original[-1] == 0 :][:1])
    content(hub, fetched(source))


def test_half_a_file_under_its_own_name_is_replaced(hub):
    folder = cache.modelscope_folder(MODEL)
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert cache.find(MODEL).unfinished
    content(hub, fetched("modelscope"))
    assert not cache.find(MODEL).unfinished


def test_a_killed_download_goes_on_where_it_was(hub, tmp_path):
    hub.seconds = 0.05
    line = [sys.executable, "-m", "cookbook", "pull", MODEL]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, env=os.environ | {"NO_COLOR": "1"})
    name = hubs.sha256(hub.models[MODEL][WEIGHTS]) + ".incomplete"
    part = cache.huggingface_folder(MODEL) / "blobs" / name
    while not part.exists() or part.stat().st_size < 50_000:
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    hub.seconds = 0
    content(hub, fetched())
    start = int(hub.weights_asked()[-1].removeprefix("bytes=").rstrip("-"))
    assert start >= 50_000 and not part.exists()


def test_two_downloads_at_once_fetch_each_file_once(hub):
    hub.seconds = 0.01
    line = [sys.executable, "-m", "cookbook", "pull", MODEL]
    both = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in "ab"]
    assert [process.communicate() and process.returncode for process in both] == [0, 0]
    assert hub.weights_asked() == [None]


def test_a_tag_is_kept_apart_and_is_found(hub):
    folder = fetched(revision="v1")
    assert (cache.huggingface_folder(MODEL) / "refs" / "v1").read_text() == folder.name
    assert cache.find(MODEL).folder == folder
    with pytest.raises(ModelError, match="没有版本 v2"):
        pull.look_up(MODEL, revision="v2")
    with pytest.raises(ModelError, match="版本 v2"):
        pull.look_up(MODEL, "modelscope", "v2")


# What a reader may give


@pytest.mark.parametrize("source", FROM)
def test_a_name_that_no_hub_has_is_said_with_one_that_is_like_it(hub, source):
    with pytest.raises(ModelError, match=r"没有 Qwen/Qwen2.5-0.5B-Instuct.*Qwen2.5-0.5B-Instruct"):
        pull.look_up("Qwen/Qwen2.5-0.5B-Instuct", source)


def test_a_dataset_is_no_model(hub):
    hub.datasets.add("someone/rows")
    with pytest.raises(ModelError, match="数据集"):
        pull.look_up("someone/rows")


def test_a_gated_model_says_what_to_accept_and_takes_the_token(hub, monkeypatch):
    hub.gated.add(MODEL)
    with pytest.raises(ModelError, match=f"{hub.address}/{MODEL}.*HF_TOKEN"):
        fetched()
    with pytest.raises(ModelError, match="MODELSCOPE_API_TOKEN"):
        fetched("modelscope")
    monkeypatch.setenv("HF_TOKEN", hubs.TOKEN)
    content(hub, fetched())


def test_the_token_of_the_hubs_own_login_is_used(hub):
    hub.gated.add(MODEL)
    cache.huggingface_home().mkdir(parents=True)
    (cache.huggingface_home() / "token").write_text(hubs.TOKEN + "\n")
    content(hub, fetched())


REPOSITORIES = {
    "Qwen/X-GGUF": ({"x-q4.gguf": b"x"}, "GGUF.*Qwen/X$"),
    "a/pickled": ({"config.json": b"{}", "pytorch_model.bin": b"x"}, "pickle"),
    "a/empty": ({"README.md": b"x"}, "没有能用的模型权重"),
    "a/lora": (
        {"adapter_config.json": b'{"base_model_name_or_path": "Qwen/Y"}', WEIGHTS: b"x"},
        "LoRA 适配器.*Qwen/Y",
    ),
}


@pytest.mark.parametrize("name", REPOSITORIES)
def test_what_cannot_be_a_base_is_refused_before_the_download(hub, name):
    hub.models[name], reason = REPOSITORIES[name]
    for source in FROM:
        with pytest.raises(ModelError, match=reason):
            pull.look_up(name, source)
    assert not hub.weights_asked()


@pytest.mark.parametrize("source", FROM)
def test_a_base_without_a_chat_template_is_refused_before_its_weights(hub, source):
    plain = {name: hub.models[MODEL][name] for name in ("config.json", "tokenizer.json", WEIGHTS)}
    hub.models["Qwen/Small"] = plain
    with pytest.raises(ModelError, match="没有对话模板.*Qwen/Small-Instruct"):
        fetched(source, name="Qwen/Small")
    assert not hub.weights_asked()


@pytest.mark.parametrize(
    "changed, reason", [({"head_dim": "64"}, "head_dim = '64'"), ({"num_experts": 8}, "MoE")]
)
def test_a_base_that_cannot_be_used_is_refused_before_its_weights(hub, changed, reason):
    config = json.loads(hub.models[MODEL]["config.json"]) | changed
    hub.models[MODEL]["config.json"] = json.dumps(config).encode()
    with pytest.raises(ModelError, match=reason):
        fetched()
    assert not hub.weights_asked()


def test_a_folder_needs_no_download(hub, small_base):
    with pytest.raises(ArgumentError, match="COOKBOOK_BASE_MODEL"):
        pull.look_up(small_base.source)
    assert not hub.requests


def test_without_network_the_sentence_names_mirror_and_modelscope(monkeypatch):
    monkeypatch.setattr(web, "pause", lambda seconds: None)
    for name in ("HF_ENDPOINT", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    # A port at which nobody listens, in place of the network.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(BaseAway, match="HF_ENDPOINT=https://hf-mirror.com") as error:
        pull.look_up(MODEL, "huggingface")
    assert "--from modelscope" in str(error.value)
    with pytest.raises(BaseAway, match="--from huggingface"):
        pull.look_up(MODEL, "modelscope")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BaseAway, match="HF_HUB_OFFLINE"):
        pull.look_up(MODEL)


def test_a_mirror_that_redirects_its_answers_is_followed(hub, monkeypatch):
    with hubs.Hubs() as mirror:
        mirror.redirect_to = hub.address
        monkeypatch.setenv("HF_ENDPOINT", mirror.address)
        content(hub, fetched())


def test_a_page_that_is_no_hub_is_said(hub, monkeypatch):
    # Such as the login page of a hotel's network.
    hub.page = b"<html>log in</html>"
    for source in FROM:
        with pytest.raises(BaseAway, match="not a hub's answer"):
            pull.look_up(MODEL, source)


def test_a_disk_that_is_too_small_is_said_before_the_download(hub, monkeypatch):
    monkeypatch.setattr(room, "free", lambda path: room.RESERVE)
    with pytest.raises(DiskFull, match="磁盘空间不够.*HF_HOME"):
        fetched()
    assert not hub.weights_asked()


# The command


def test_the_command_says_the_size_first_and_then_how_to_use_it(hub, capsys):
    assert command.run(MODEL, None, None) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{MODEL}（Hugging Face）共 ") and "磁盘剩余" in first
    assert last.endswith(f"COOKBOOK_BASE_MODEL={MODEL}")


def test_a_log_gets_a_line_now_and_then(hub, capsys, monkeypatch):
    monkeypatch.setattr(command, "LINE_SECONDS", 0.0)
    assert command.run(MODEL, None, None) == 0
    assert any(line.startswith("100%, ") for line in capsys.readouterr().out.splitlines())
