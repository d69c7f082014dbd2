"""The unmodified `openai` client against the running service: real training, real answers."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request

import openai
import pytest
from openai import OpenAI

from cookbook import connect, data, jobs, tokens, zhishuo
from cookbook.__main__ import main
from cookbook.connection import running
from cookbook.memory import MemoryPlan
from cookbook.paths import DATA, Home, home
from cookbook.service.events import Planned
from cookbook.service.store import Store


@pytest.fixture(scope="module")
def tuned(service):
    """A finished job: two epochs over the first 64 rows of the tiny corpus."""
    with OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client:
        lines = (DATA / "zhishuoxinyu" / "train_tiny.jsonl").read_bytes().splitlines(keepends=True)
        upload = client.files.create(
            file=("small.jsonl", b"".join(lines[:64])), purpose="fine-tune"
        )
        job = client.fine_tuning.jobs.create(
            model=service.base_model,
            training_file=upload.id,
            suffix="test",
            method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
        )
        job = jobs.watch(client, job.id, every=0.3)
    assert job.status == "succeeded", job.error
    return job


def chat(client, model, word, **options):
    messages = [
        {"role": "system", "content": zhishuo.SHORT_PROMPT},
        {"role": "user", "content": word},
    ]
    return client.chat.completions.create(model=model, messages=messages, temperature=0, **options)


def test_a_job_tells_every_step_once_and_in_order(client, tuned):
    view = jobs.view(client, tuned.id)
    steps = [s["step"] for s in view.steps]
    assert steps == list(range(1, view.steps[0]["total_steps"] + 1))
    assert view.events[-1].data["update_norm"] > 0 and view.events[-1].data["logits_difference"] > 0
    assert {
        "adapter_parameters",
        "trained_share",
        "learning_rate_used",
        "learning_rate_scale",
    } <= set(view.events[3].data)


def test_tuning_changes_the_answer_and_every_checkpoint_can_be_asked(client, service, tuned):
    checkpoints = client.fine_tuning.jobs.checkpoints.list(tuned.id).data
    assert [c.fine_tuned_model_checkpoint for c in checkpoints][0] == tuned.fine_tuned_model
    assert len(checkpoints) == 2 and "-ckpt_step_" in checkpoints[1].fine_tuned_model_checkpoint
    names = [service.base_model, *(c.fine_tuned_model_checkpoint for c in checkpoints)]
    answers = [
        chat(client, name, "地铁", max_tokens=40).choices[0].message.content for name in names
    ]
    assert answers[0] != answers[1] and all(answers)


def test_answers_of_weight_0_pass_the_upload_with_a_warning_and_are_not_learned(client, service):
    lines = (DATA / "customer_service" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    talks = [json.loads(line)["messages"] for line in lines[:24]]
    rows = []
    for masked, learned in zip(talks[:12], talks[12:], strict=True):
        read_only = [{**m, "weight": 0} if m["role"] == "assistant" else m for m in masked]
        without_system = [m for m in learned if m["role"] != "system"]
        rows.append({"messages": read_only + without_system})
    upload = client.files.create(file=("masked.jsonl", data.to_jsonl(rows)), purpose="fine-tune")
    assert "weight" in upload.status_details
    settings = {"n_epochs": 1, "batch_size": 4}
    job = client.fine_tuning.jobs.create(
        model=service.base_model,
        training_file=upload.id,
        method={"type": "supervised", "supervised": {"hyperparameters": settings}},
        extra_body={"validation_split": 0},
    )
    assert jobs.watch(client, job.id, every=0.3).status == "succeeded"

    counted = tokens.count_conversations(row["messages"] for row in rows)
    trained = sum(count.trained for count in counted)
    share = trained / sum(count.total for count in counted)
    events = [event.data for event in jobs.view(client, job.id).events if event.data]
    [told] = [event["trained_share"] for event in events if "trained_share" in event]
    assert told == pytest.approx(share, abs=0.001)
    folder = Home(home()).model_folder(f"{job.id}-step_3")
    assert f"其中 {share:.0%} 是助手的回答" in (folder / "README.md").read_text(encoding="utf-8")


def test_a_stream_says_what_the_whole_answer_says(client, service):
    whole = chat(client, service.base_model, "地铁")
    chunks = list(chat(client, service.base_model, "地铁", stream=True))
    assert (
        "".join(c.choices[0].delta.content or "" for c in chunks)
        == whole.choices[0].message.content
    )
    assert chunks[-1].usage == whole.usage
    assert not any(chunk.usage for chunk in chunks[:-1])
    everywhere = {"continuous_usage_stats": True}
    chunks = list(chat(client, service.base_model, "地铁", stream=True, stream_options=everywhere))
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert counts == sorted(counts) and counts[0] >= 1


def test_the_service_takes_back_its_own_answer(client, service):
    """As tutorials do it: the message of an answer, as it is, before the next question."""
    question = {"role": "user", "content": "地铁"}
    create = client.chat.completions.create
    first = create(model=service.base_model, messages=[question], max_tokens=8)
    again = [question, first.choices[0].message, question]
    second = create(model=service.base_model, messages=again, max_tokens=2)
    assert second.usage.prompt_tokens > first.usage.prompt_tokens


def test_the_finished_adapter_is_a_standard_peft_folder(tuned):
    from peft import PeftModel

    from cookbook.bases import installed
    from cookbook.service.engine.load import load

    folders = sorted((home() / "models").glob(f"{tuned.id}-step_*"))
    assert len(folders) == 2
    PeftModel.from_pretrained(load(installed()[0])[0], folders[-1])


def test_a_second_kernel_attaches_to_the_same_service(service):
    code = "from cookbook import connect; c = connect(); print(c.base_url, c.api_key)"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.split() == [service.base_url, service.api_key]


def test_a_second_service_on_the_same_folder_is_refused(service):
    again = subprocess.run(
        [sys.executable, "-m", "cookbook", "serve"], capture_output=True, text=True
    )
    assert (
        again.returncode == 1
        and "已经有一个服务" in again.stderr
        and "Traceback" not in again.stderr
    )
    assert running(home())["base_url"] == service.base_url


def test_the_address_file_is_for_its_owner_alone_and_the_key_is_not_shown(service):
    if os.name != "nt":
        assert (home() / "service.json").stat().st_mode & 0o777 == 0o600
    assert (
        service.api_key not in repr(service)
        and service.api_key not in (home() / "service.log").read_text()
    )


def test_a_wrong_key_is_refused_with_a_remedy(service):
    with (
        OpenAI(base_url=service.base_url, api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError, match="connect"),
    ):
        stranger.models.list()


def test_a_port_in_use_is_explained_and_nothing_is_left(service, tmp_path):
    port = service.base_url.split(":")[2].split("/")[0]
    serve = [sys.executable, "-m", "cookbook", "serve", "--port", port, "--home", str(tmp_path)]
    out = subprocess.run(serve, capture_output=True, text=True)
    assert out.returncode == 1 and "--port" in out.stderr and "Traceback" not in out.stderr
    assert not (tmp_path / "service.json").exists()


def test_an_open_host_needs_a_key_of_its_own(tmp_path):
    serve = [
        sys.executable,
        "-m",
        "cookbook",
        "serve",
        "--host",
        "0.0.0.0",
        "--home",
        str(tmp_path),
    ]
    out = subprocess.run(serve, capture_output=True, text=True)
    assert out.returncode == 1 and "--api-key" in out.stderr


def test_a_folder_that_cannot_be_written_is_explained(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    serve = [sys.executable, "-m", "cookbook", "serve", "--home", str(blocked / "home")]
    out = subprocess.run(serve, capture_output=True, text=True)
    assert out.returncode == 1 and "COOKBOOK_HOME" in out.stderr and "Traceback" not in out.stderr


def test_start_status_and_stop_from_the_command_line(tmp_path):
    command = [sys.executable, "-m", "cookbook"]
    served = subprocess.Popen(
        [*command, "serve", "--home", str(tmp_path)], stderr=subprocess.PIPE, text=True
    )
    for _ in range(150):
        if facts := running(tmp_path):
            break
        time.sleep(0.2)
    status = subprocess.run(
        [*command, "status", "--home", str(tmp_path)], capture_output=True, text=True
    )
    assert status.returncode == 0 and facts["base_url"] in status.stdout
    assert all(word in status.stdout for word in ("训练中 0", "排队 0", "内存：服务", "磁盘：已用"))
    stop = subprocess.run(
        [*command, "stop", "--home", str(tmp_path)], capture_output=True, text=True
    )
    assert stop.returncode == 0 and "已停止" in stop.stdout
    assert served.wait(20) == 0 and not (tmp_path / "service.json").exists()
    served.stderr.close()
    status = subprocess.run(
        [*command, "status", "--home", str(tmp_path)], capture_output=True, text=True
    )
    assert status.returncode == 1


def test_a_stale_address_file_is_not_believed(tmp_path):
    (tmp_path / "service.json").write_text(
        json.dumps({"base_url": "http://127.0.0.1:9/v1", "api_key": "x", "pid": 1})
    )
    assert running(tmp_path) is None


def test_connecting_is_one_line_and_health_is_open(service):
    assert connect() == service
    with urllib.request.urlopen(service.base_url.replace("/v1", "/health")) as answer:
        assert json.load(answer)["status"] == "ok"


def test_the_status_names_what_runs_and_who_waits(tmp_path):
    from cookbook.service import status

    store = Store(tmp_path / "service.db")
    fields = dict(
        base="tiny",
        training_file="f",
        validation_file=None,
        validation_split=0.1,
        seed=1,
        metadata=None,
    )
    for name, state in (
        ("one", "running"),
        ("two", "queued"),
        ("three", "queued"),
        ("four", "cancelled"),
    ):
        job = store.add_job(**fields, model=f"ft:{name}", suffix=name, hyperparameters={})
        store.advance(job.id, state, f"{name} is {state}")
    store.request_state(job.id, "pause", "too late")
    store.request_state(store.unfinished()[-1].id, "pause", "three is paused")
    plan = MemoryPlan(3 * 2**30, 6 * 2**30, "cpu", "float32", 512, 1, 0, 2, 128)
    store.record(store.jobs(("running",))[0], Planned(plan, 930))
    assert status.headline(store, tmp_path).startswith("训练中 1 · 排队 1 · 暂停 1 · 内存")
    assert " · 聊天 38 token/秒 · " in status.headline(store, tmp_path, chat_speed=38.2)
    lines = status.jobs(store)
    assert [line.split()[1:3] for line in lines] == [
        ["running", "one"],
        ["queued", "two"],
        ["paused", "three"],
        ["cancelled", "four"],
    ]
    assert lines[2].endswith("three is paused")
    assert ["内存约 3.0 GB" in line for line in lines] == [True, False, False, False]


def test_status_shows_how_fast_chat_has_answered(client, service, capsys):
    ask = client.chat.completions.create
    ask(model=service.base_model, messages=[{"role": "user", "content": "地铁"}], max_tokens=20)
    assert main(["status"]) == 0
    assert re.search(r" · 聊天 [\d,]+ token/秒 · 内存", capsys.readouterr().out)
