import errno
import json
import os
from datetime import datetime

import ipywidgets
import pytest
from openai import OpenAI

from cookbook import bases, machine
from cookbook.data import to_jsonl
from cookbook.errors import HyperparameterError
from cookbook.panel import ParameterPanel
from cookbook.panel import training_file as files
from cookbook.params import PRESETS, Hyperparameters
from cookbook.paths import DATA, Home, home
from cookbook.siliconcloud import BASES

ROWS = DATA / "zhishuoxinyu" / "train_tiny.jsonl"


def uploads():
    return Home(home()).uploads


def upload(panel, name, content):
    given = {
        "name": name,
        "type": "",
        "size": len(content),
        "content": memoryview(content),
        "last_modified": datetime.now(),
    }
    # Read-only in ipywidgets 7, and in another form.
    files_of = {name: given} if ipywidgets.__version__.startswith("7.") else (given,)
    panel.task.upload.set_trait("value", files_of)


def test_the_panel_begins_with_the_standard_preset_and_the_bases_of_the_platform():
    panel = ParameterPanel()
    assert panel.value == PRESETS["standard"] and panel.plan is None
    assert panel.task.base_model.options == BASES


@pytest.mark.parametrize("name", PRESETS)
def test_choosing_a_preset_fills_every_field(name):
    panel = ParameterPanel(Hyperparameters(n_epochs=7))
    panel.preset.value = name
    assert panel.value == PRESETS[name]


def test_changing_a_field_turns_the_preset_to_custom_and_back():
    panel = ParameterPanel()
    panel.controls["n_epochs"].value = 4
    assert panel.preset.value == "custom"
    panel.controls["n_epochs"].value = 3
    assert panel.preset.value == "standard"


@pytest.mark.parametrize(
    "name, typed, reason",
    [
        ("learning_rate", "0", "什么也学不到"),
        ("n_epochs", "99", "超出范围 1–10"),
        ("lora_rank", "8.5", "整数"),
        ("batch_size", "<b>", "&lt;b&gt;"),
        ("lora_dropout", "", "数字"),
    ],
)
def test_what_is_typed_is_kept_marked_and_refused_with_its_reason(name, typed, reason):
    panel = ParameterPanel()
    field = panel.controls[name]
    field.text.value = typed
    assert field.text.value == typed and reason in field.message.value
    assert "cookbook-refused" in field.widget._dom_classes
    with pytest.raises(HyperparameterError, match=name):
        _ = panel.value
    field.text.value = f"{field.limits.suggested:g}"
    assert panel.value == PRESETS["standard"] and field.message.value == ""
    assert "cookbook-refused" not in field.widget._dom_classes


def test_a_refused_share_stops_the_plan_but_neither_the_parameters_nor_a_validation_file():
    panel = ParameterPanel(rows_file=ROWS, validation=1)
    assert "cookbook-refused" in panel.task.validation_share.widget._dom_classes
    assert "标红" in panel._outcome.value
    assert panel.value == PRESETS["standard"] and panel.preset.value == "standard"
    panel.task.validation_file.value = DATA / "customer_service" / "train.jsonl"
    panel.task.validation_kind.value = "file"
    assert panel.plan.validation_rows == 160 and "标红" not in panel._outcome.value


def test_a_refused_value_leaves_nothing_to_paste():
    panel = ParameterPanel(rows_file=ROWS)
    panel.controls["n_epochs"].value = 0
    assert [page.value for page in panel._exports.values()] == ["", "", ""]
    assert "标红" in panel._outcome.value and "n_epochs" in panel._repr_mimebundle_()["text/html"]


def test_a_slider_and_its_text_show_the_same():
    panel = ParameterPanel()
    rate = panel.controls["learning_rate"]
    rate.slider.value = 10**-3.5
    assert panel.value.learning_rate == 0.00032
    rate.text.value = "３e-5"  # a full-width digit, as an input method may give it
    assert panel.value.learning_rate == rate.slider.value == 3e-5


def test_a_browser_that_rounds_a_typed_value_to_the_step_of_the_slider_changes_nothing():
    panel = ParameterPanel()
    for name, typed, rounded in (("max_tokens", "100", 128), ("learning_rate", "3e-5", 10**-4.5)):
        panel.controls[name].text.value = typed
        panel.controls[name].slider.value = rounded
        assert panel.controls[name].value == float(typed)


def test_moving_a_control_says_at_once_what_follows(monkeypatch):
    panel = ParameterPanel(rows_file=ROWS, price=2.0, tokens_per_second=1000)
    assert all(text in panel._outcome.value for text in ("162", "0.27%", "× 4"))
    monkeypatch.delattr("cookbook.tokens.count_conversations")  # nothing is counted again
    panel.controls["lora_rank"].slider.value = 16
    panel.controls["batch_size"].slider.value = 16
    plan = panel.plan
    assert f"{plan.total_steps}" in panel._outcome.value and plan.total_steps == 81
    assert "0.53%" in panel._outcome.value and "× 2<" in panel._outcome.value
    assert plan.cost == pytest.approx(plan.tokens * 2e-6)
    assert plan.seconds == pytest.approx(plan.tokens / 1000)


def test_the_longest_row_suggests_max_tokens_and_the_button_takes_it():
    panel = ParameterPanel(rows_file=ROWS)
    assert panel.plan.longest_row == 66 and "128" in panel.suggest.description
    panel.suggest.click()
    assert panel.value.max_tokens == 128


def test_a_risk_is_said_at_its_field_and_does_not_refuse():
    panel = ParameterPanel(rows_file=ROWS)
    panel.controls["max_tokens"].value = 20
    assert "480 条" in panel.controls["max_tokens"].message.value
    assert panel.value.max_tokens == 20 and panel.warnings[0][0] == "max_tokens"


def test_code_json_and_the_form_carry_the_same_values():
    hp = Hyperparameters(learning_rate=3e-5, n_epochs=4)
    panel = ParameterPanel(hp, rows_file=ROWS, task_name="t-1", base_model=BASES[1], validation=0.2)
    assert eval(panel.to_code(), {"Hyperparameters": Hyperparameters}) == hp
    chosen = json.loads(panel.to_json())
    assert chosen["hyperparameters"] == hp.to_dict() and chosen["validation"] == 0.2
    typed = list(panel.console_sheet().fields.values())
    assert typed[:6] == ["t-1", BASES[1], ROWS.name, "20%", "3e-05", "4"]


def test_the_script_is_python_that_names_the_validation_file():
    panel = ParameterPanel(
        rows_file=ROWS,
        base_model="cookbook/tiny-zh",
        validation=DATA / "customer_service" / "train.jsonl",
    )
    script = panel.to_script()
    compile(script, "script", "exec")
    assert "validation_file=held.id" in script and "extra_body" not in script
    assert panel.plan.train_rows == 480 and panel.plan.validation_rows == 160


@pytest.mark.parametrize(
    "name, warned", [("my-task_1", False), ("我的任务", True), ("", True), ("a" * 65, True)]
)
def test_an_odd_task_name_is_warned_of_and_kept(name, warned):
    panel = ParameterPanel(task_name=name)
    assert bool(panel.task._notes["task_name"].value) == warned
    assert json.loads(panel.to_json())["task_name"] == name


def test_a_file_with_errors_or_none_at_all_says_so_in_place(tmp_path):
    (tmp_path / "bad.jsonl").write_bytes(to_jsonl([{"messages": []}]))
    for name, reason in (("bad.jsonl", "messages"), ("gone.jsonl", "gone.jsonl")):
        panel = ParameterPanel(rows_file=tmp_path / name)
        assert panel.plan is None and reason in panel.task._notes["training_file"].value


def test_files_of_the_folder_can_be_chosen(tmp_path, row):
    (tmp_path / "mine.jsonl").write_bytes(to_jsonl([row(), row(user="另一个")]))
    panel = ParameterPanel(folder=tmp_path)
    panel.task.training_file.value = dict(panel.task.training_file.options)["mine.jsonl"]
    assert panel.plan.train_rows == 1 and panel.task.token_counts[0] > 10


def test_a_file_of_the_folder_may_be_given_by_its_absolute_path(tmp_path, row, monkeypatch):
    (tmp_path / "mine.jsonl").write_bytes(to_jsonl([row(), row(user="另一个")]))
    monkeypatch.chdir(tmp_path)
    panel = ParameterPanel(rows_file=tmp_path / "mine.jsonl", base_model="cookbook/tiny-zh")
    assert panel.plan.train_rows == 1 and "open('mine.jsonl'" in panel.to_script()


def test_a_validation_file_is_checked_once(monkeypatch, tmp_path, row):
    training, validation = tmp_path / "train.jsonl", tmp_path / "valid.jsonl"
    training.write_bytes(to_jsonl([row(), row(user="另一个")]))
    validation.write_bytes(to_jsonl([row(user="第三个，含\u2028换行")]))
    checked, check = [], files.data.check

    def counting(path, **options):
        checked.append((path, options.get("validation")))
        return check(path, **options)

    monkeypatch.setattr(files.data, "check", counting)
    read = files.read(training, validation)
    assert checked == [(training, validation)]
    assert read.validation_rows == [row(user="第三个，含\u2028换行")]


def test_a_file_is_not_read_again_while_only_a_parameter_changes(monkeypatch):
    panel = ParameterPanel(rows_file=ROWS)
    monkeypatch.delattr(files, "read")
    panel.preset.value = "quality"
    panel.task.validation_kind.value = "file"
    panel.task.validation_kind.value = "share"
    assert panel.plan.total_steps == 135


def test_an_upload_is_kept_under_a_safe_name_and_chosen(row):
    panel = ParameterPanel()
    upload(panel, "../我的 <data>.jsonl", to_jsonl([row(), row(user="另一个")]))
    kept = panel.task.training_file.value
    assert kept.parent == uploads() and kept.name.startswith("data-")
    assert panel.plan.train_rows == 1 and not panel.task.upload.value


def test_an_upload_never_overwrites(row):
    first, again, other = to_jsonl([row()]), to_jsonl([row()]), to_jsonl([row(user="另一个")])
    path = files.keep("a.jsonl", first)
    assert files.keep("a.jsonl", again) == path != files.keep("a.jsonl", other)
    path.write_bytes(b"edited by its owner")
    assert files.keep("a.jsonl", first) != path and path.read_bytes() == b"edited by its owner"


def test_an_upload_is_readable_for_its_owner_alone(row):
    path = files.keep("private.jsonl", to_jsonl([row(user="private")]))
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_upload_that_finds_no_room_is_reported_and_never_offered(row, monkeypatch):
    panel = ParameterPanel()
    before = dict(panel.task.training_file.options)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        # The bytes are in the file by then, perhaps not all of them on the disk.
        patched.setattr(os, "fsync", full)
        upload(panel, "half.jsonl", to_jsonl([row(user="half")]))
    assert "No space left" in panel.task._notes["training_file"].value
    assert dict(ParameterPanel().task.training_file.options) == before
    # With room again the same upload is whole.
    upload(panel, "half.jsonl", to_jsonl([row(user="half")]))
    assert panel.task.training_file.value.read_bytes() == to_jsonl([row(user="half")])


def test_a_panel_does_not_depend_on_the_current_folder_of_a_later_cell(row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.jsonl").write_bytes(to_jsonl([row(), row(user="另一个")]))
    panel = ParameterPanel(rows_file="mine.jsonl", validation="mine.jsonl")
    other = ParameterPanel()
    monkeypatch.chdir("/")
    for shown in (panel, other):
        shown.task.validation_kind.value = "share"
        shown.task.training_file.value = tmp_path / "mine.jsonl"
        assert shown.task.token_counts and "mine.jsonl" in shown.to_json()


def test_an_upload_with_errors_is_not_kept_and_says_why(row):
    panel = ParameterPanel()
    before = list(uploads().glob("*"))
    upload(panel, "data.txt", to_jsonl([row()]))
    assert ".jsonl" in panel.task._notes["training_file"].value
    assert list(uploads().glob("*")) == before


def test_a_dead_service_leaves_a_panel_that_works():
    panel = ParameterPanel(client=OpenAI(base_url="http://127.0.0.1:9/v1", api_key="x"))
    assert "connect()" in panel.task._notes["base_model"].value
    assert panel.value == PRESETS["standard"]


def test_the_still_copy_beside_the_widgets_names_every_parameter():
    bundle = ParameterPanel(rows_file=ROWS)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert all(name in bundle["text/html"] for name in (*Hyperparameters().to_dict(), "162"))


def test_text_of_the_reader_is_escaped_everywhere():
    panel = ParameterPanel(task_name="<b>", base_model="a/<b>", rows_file="<b>.jsonl")
    panel.controls["n_epochs"].value = "<b>"
    panel.price.value = "<b>"
    pages = [panel._outcome, panel._price_note, *panel._exports.values()]
    pages += [*panel.task._notes.values(), panel.controls["n_epochs"].message]
    assert not [page.value for page in pages if "<b>" in page.value]
    assert "<b>" not in panel._repr_mimebundle_()["text/html"]


def test_the_style_sheet_is_a_file_of_the_package():
    from cookbook.panel import templates

    assert templates.style().startswith("<style>") and ".cookbook-panel {" in templates.style()


def test_the_panel_speaks_english_too(monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", "en")
    panel = ParameterPanel(rows_file=ROWS)
    panel.controls["n_epochs"].value = 99
    assert "out of range" in panel.controls["n_epochs"].message.value


TINY = "cookbook/tiny-zh"


def test_the_panel_shows_what_memory_training_needs():
    panel = ParameterPanel(rows_file=ROWS, base_model=TINY)
    _, how = str(panel.plan.memory).split("：")
    assert how.startswith("每次 8 条（micro-batch），") and how in panel._outcome.value
    # A platform trains elsewhere, of whose memory nothing is known.
    panel.task.base_model.value = BASES[0]
    assert panel.plan.memory is None and "micro-batch" not in panel._outcome.value


def test_what_cannot_fit_is_refused_with_what_would(monkeypatch):
    monkeypatch.setenv("COOKBOOK_MEMORY", "300MB")
    panel = ParameterPanel(rows_file=ROWS, base_model=TINY)
    with pytest.raises(
        HyperparameterError, match="COOKBOOK_MEMORY 只许用 0.3 GB，放不下.*调到.*换空闲内存"
    ) as caught:
        _ = panel.value
    assert list(caught.value.problems) == ["memory"]
    assert "放不下" in panel._outcome.value and "放不下" in panel._repr_mimebundle_()["text/html"]
    python, choice, form = (page.value for page in panel._exports.values())
    assert (python, choice) == ("", "") and form
    # The form is for a machine elsewhere.
    assert panel.console_sheet() and panel.plan.memory.remedies()


def test_memory_that_was_freed_meanwhile_is_noticed(monkeypatch):
    monkeypatch.setenv("COOKBOOK_MEMORY", "300MB")
    panel = ParameterPanel(rows_file=ROWS, base_model=TINY)
    monkeypatch.setenv("COOKBOOK_MEMORY", "4GB")
    assert panel.value == PRESETS["standard"]


def test_machine_and_base_are_asked_once_for_each_base_not_at_each_change(monkeypatch):
    asked = []
    for module, name in ((machine, "here"), (bases, "installed")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda real=real, name=name: asked.append(name) or real())
    panel = ParameterPanel(rows_file=ROWS, base_model=TINY)
    panel.controls["n_epochs"].value = 2
    panel.controls["max_tokens"].value = 512
    assert panel.plan.memory.fits and panel.value.n_epochs == 2
    assert sorted(asked) == ["here", "installed"]


def test_an_upload_is_read_in_both_forms_that_ipywidgets_gives_it():
    given = {"name": "a.jsonl", "content": memoryview(b"{}")}
    assert files.uploaded((given,)) == ("a.jsonl", b"{}")
    assert files.uploaded({"a.jsonl": {"metadata": {}, "content": b"{}"}}) == ("a.jsonl", b"{}")
