import dataclasses
import json
import os

import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cookbook import tokens
from cookbook.errors import DataError, Diverged, ModelError
from cookbook.params import Hyperparameters
from cookbook.service.engine import train as module
from cookbook.service.engine.examples import NOT_TRAINED, collate, encode, encode_all
from cookbook.service.engine.fast import lora
from cookbook.service.engine.load import load
from cookbook.service.events import Checkpoint, Finished, Planned, Started, StateUnreadable, Step


@pytest.fixture
def rows(row):
    return [row(user=f"第{i}个问题", assistant=f"答案是{i}，请收好。") for i in range(10)]


def hp(**values):
    return (
        Hyperparameters(n_epochs=2, batch_size=4) if not values else Hyperparameters(**values)
    ).to_dict()


@pytest.fixture(scope="session")
def tokenizer(small_base):
    return load(small_base)[1]


def train(*arguments, **settings):
    """Return the training, begun: its first event, the plan of its memory, has been taken."""
    training = module.train(*arguments, **settings)
    assert isinstance(next(training), Planned)
    return training


def by_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def losses(events):
    return [(s.step, s.train_loss, s.tokens) for s in by_kind(events, Step)]


def test_only_the_assistants_tokens_are_trained(tokenizer):
    messages = [
        {"role": r, "content": c}
        for r, c in (
            ("system", "甲"),
            ("user", "问"),
            ("assistant", "答一"),
            ("user", "再问"),
            ("assistant", "答二"),
        )
    ]
    example = encode(tokenizer, messages, 4096)
    assert (
        tokenizer.decode([i for i, t in zip(example.ids, example.trained, strict=True) if t])
        == "答一<|im_end|>答二<|im_end|>"
    )
    assert example.ids == tokenizer.apply_chat_template(messages)["input_ids"]


def test_an_answer_of_weight_0_is_read_and_its_labels_leave_it_out(tokenizer, row):
    first, second = row()["messages"], row(assistant="答二")["messages"][1:]
    masked = [*first[:-1], {**first[-1], "weight": 0}]
    plain, example = (encode(tokenizer, [*turns, *second], 4096) for turns in (first, masked))
    assert example.ids == plain.ids
    ids, labels = collate([example], 0, "cpu")
    learned = labels[labels != NOT_TRAINED]
    assert tokenizer.decode(learned) == "答二<|im_end|>"
    assert ids[0].tolist() == example.ids


def test_rows_whose_answers_all_have_weight_0_are_named(tokenizer, row):
    masked = row()
    masked["messages"][-1]["weight"] = 0
    with pytest.raises(DataError, match=r"没有要学的回答.*：2。"):
        encode_all(tokenizer, [row(), masked], 4096)


def test_a_long_row_is_cut_at_max_tokens(tokenizer, row):
    assert len(encode(tokenizer, row()["messages"], 20).ids) == 20


def test_rows_with_no_trained_token_are_named(small_base, rows, tmp_path):
    with pytest.raises(DataError, match="1, 2, 3"):
        list(train(small_base, rows, [], hp(max_tokens=8), folder=tmp_path))


def test_a_job_tells_everything_that_happened(small_base, rows, tmp_path):
    events = list(train(small_base, rows[:8], rows[8:], hp(), folder=tmp_path))
    started, finished = events[0], events[-1]
    assert isinstance(started, Started) and isinstance(finished, Finished)
    assert (started.total_steps, started.train_rows, started.valid_rows) == (4, 8, 2)
    assert started.valid_loss > 0 and 0 < started.trained_share < 1
    assert started.learning_rate_used == pytest.approx(0.001)
    assert [s.step for s in by_kind(events, Step)] == [1, 2, 3, 4]
    assert [s.valid_loss is not None for s in by_kind(events, Step)] == [False, True, False, True]
    assert [c.step for c in by_kind(events, Checkpoint)] == [2]
    assert finished.update_norm > 0 and finished.logits_difference > 0


def test_answers_of_weight_0_are_not_trained_on(small_base, row, tmp_path):
    """The trained share and the trained tokens count them as read."""
    rows = []
    for i in range(8):
        messages = row(user=f"第{i}个问题", assistant="坏答案，不要学。")["messages"]
        messages[-1]["weight"] = 0
        better = row(user="再说一遍", assistant="好。")["messages"][1:]
        rows.append({"messages": [*messages, *better]})
    events = list(train(small_base, rows, [], hp(n_epochs=1, batch_size=4), folder=tmp_path))
    each = tokens.count("好。") + 1
    started, finished = events[0], events[-1]
    read = sum(counted.total for counted in tokens.count_conversations(r["messages"] for r in rows))
    assert finished.trained_tokens == 8 * each
    assert started.trained_share == pytest.approx(8 * each / read)


def test_training_lowers_the_loss(small_base, rows, tmp_path):
    events = list(
        train(
            small_base,
            rows,
            rows[:2],
            hp(learning_rate=1e-3, n_epochs=10, batch_size=2),
            folder=tmp_path,
        )
    )
    assert events[-1].valid_loss < events[0].valid_loss - 0.3


def test_the_adapter_is_a_standard_peft_folder_without_pickle(small_base, rows, tmp_path):
    finished = list(train(small_base, rows, [], hp(), folder=tmp_path))[-1]
    model, tokenizer = load(small_base)
    ids = torch.tensor([tokenizer("你好")["input_ids"]])
    plain = model(ids).logits
    tuned = PeftModel.from_pretrained(model, finished.folder)
    assert not torch.equal(plain, tuned(ids).logits)
    assert (
        json.loads((finished.folder / "adapter_config.json").read_text())["base_model_name_or_path"]
        == "local:small"
    )
    assert not [
        p for p in tmp_path.rglob("*") if p.suffix in (".bin", ".pt", ".pkl", ".pth", ".part")
    ]


def test_the_same_seed_gives_the_same_losses(small_base, rows, tmp_path):
    a, b, c = (
        [
            s.train_loss
            for s in by_kind(
                train(small_base, rows, [], hp(), folder=tmp_path / str(i), seed=seed), Step
            )
        ]
        for i, seed in enumerate((1, 1, 2))
    )
    assert a == b != c


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_a_job_that_was_stopped_ends_with_the_same_adapter(small_base, rows, tmp_path, stop_at):
    values = hp(n_epochs=2, batch_size=4, lora_dropout=0.3)
    whole = list(train(small_base, rows, [], values, folder=tmp_path / "whole"))
    first = train(small_base, rows, [], values, folder=tmp_path / "broken")
    seen = []
    for event in first:
        if isinstance(event, Step):
            seen.append(event)
            if event.step == stop_at:
                break
    first.close()
    rest = list(train(small_base, rows, [], values, folder=tmp_path / "broken"))
    assert losses(seen) + losses(rest) == losses(whole)
    assert rest[-1].update_norm == whole[-1].update_norm


def test_a_job_that_was_stopped_at_its_last_step_finishes_when_it_is_resumed(
    small_base, rows, tmp_path
):
    whole = list(train(small_base, rows, [], hp(), folder=tmp_path / "whole"))
    first = train(small_base, rows, [], hp(), folder=tmp_path / "broken")
    next(event for event in first if isinstance(event, Step) and event.step == event.total_steps)
    first.close()
    rest = list(train(small_base, rows, [], hp(), folder=tmp_path / "broken"))
    # No step is left: it only finishes.
    assert len(rest) == 1
    assert dataclasses.replace(rest[-1], folder=None) == dataclasses.replace(whole[-1], folder=None)


def test_the_plain_path_gives_the_same_losses(small_base, rows, tmp_path, monkeypatch):
    values = hp(n_epochs=2, batch_size=4, learning_rate=1e-3, lora_dropout=0)
    quick = list(train(small_base, rows[:8], rows[8:], values, folder=tmp_path / "fast"))
    monkeypatch.setenv("COOKBOOK_FAST", "0")
    monkeypatch.setattr(lora.LoraFunction, "apply", lambda *_: pytest.fail("the fast path ran"))
    plain = list(train(small_base, rows[:8], rows[8:], values, folder=tmp_path / "plain"))
    for name in ("train_loss", "valid_loss"):
        ours, peft = (
            [getattr(step, name) or 0 for step in by_kind(events, Step)]
            for events in (quick, plain)
        )
        assert ours == pytest.approx(peft, rel=1e-5)
    assert quick[-1].update_norm == pytest.approx(plain[-1].update_norm, rel=1e-3)


def test_a_rate_that_ruins_the_weights_ends_with_its_reason(small_base, rows, tmp_path):
    base = dataclasses.replace(small_base, learning_rate_scale=1e36)
    with pytest.raises(Diverged, match="学习速率 0.1 太大"):
        list(train(base, rows, [], hp(learning_rate=0.1, n_epochs=10), folder=tmp_path / "job"))


def stopped_at(small_base, rows, values, folder, step):
    """Train up to this step, stop there, and return the state that was saved."""
    training = train(small_base, rows, [], values, folder=folder)
    next(event for event in training if isinstance(event, Step) and event.step == step)
    training.close()
    return folder / "state.safetensors"


def without_folder(event):
    return dataclasses.replace(event, folder=None)


def test_a_job_that_was_stopped_where_an_epoch_ends_still_gives_its_checkpoint(
    small_base, rows, tmp_path
):
    whole = list(train(small_base, rows, [], hp(), folder=tmp_path / "whole"))
    stopped_at(small_base, rows, hp(), tmp_path / "broken", 3)
    rest = list(train(small_base, rows, [], hp(), folder=tmp_path / "broken"))
    checkpoints = [by_kind(events, Checkpoint)[0] for events in (whole, rest)]
    assert without_folder(checkpoints[0]) == without_folder(checkpoints[1])
    assert without_folder(rest[-1]) == without_folder(whole[-1])


@pytest.mark.parametrize("last", [4, 6], ids=["amid an epoch", "at the end"])
def test_a_state_of_an_older_release_goes_on(small_base, rows, tmp_path, last):
    state = stopped_at(small_base, rows, hp(), tmp_path, last)
    with safe_open(state, "pt") as file:
        metadata = file.metadata()
    old = {name: metadata[name] for name in ("step", "seen", "trained_tokens")}
    save_file(load_file(state), state, metadata=old)
    events = list(train(small_base, rows, [], hp(), folder=tmp_path))
    assert [s.step for s in by_kind(events, Step)] == list(range(last + 1, 7))
    assert isinstance(events[-1], Finished) and 0 < events[-1].train_loss < 20


def cut(content):
    return content[: len(content) // 2]


def flip(content):
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


SPOILT = {
    "empty": lambda content: b"",
    "cut": cut,
    "noise": lambda content: b"\xa5" * len(content),
    "one bit": flip,
    "zeros at the end": lambda content: cut(content).ljust(len(content), b"\0"),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_state_that_cannot_be_read_is_kept_and_said_and_training_begins_again(
    small_base, rows, tmp_path, spoil
):
    whole = list(train(small_base, rows, [], hp(), folder=tmp_path / "whole"))
    state = stopped_at(small_base, rows, hp(), tmp_path / "broken", 4)
    state.write_bytes(spoil(state.read_bytes()))
    events = list(train(small_base, rows, [], hp(), folder=tmp_path / "broken"))
    assert isinstance(events[0], StateUnreadable)
    assert (state.parent / events[0].kept).exists()
    assert losses(events) == losses(whole)
    assert without_folder(events[-1]) == without_folder(whole[-1])


def taken(small_base, rows, folder):
    """Return whether the training of these rows goes on from the state in the folder."""
    return not isinstance(next(train(small_base, rows, [], hp(), folder=folder)), StateUnreadable)


def test_a_state_of_another_training_is_not_taken(small_base, rows, tmp_path):
    others = {"rows": (rows[::-1], {}, 42), "rate": (rows, {"learning_rate": 3e-4}, 42)}
    others["seed"] = (rows, {}, 43)
    for name, (its_rows, values, seed) in others.items():
        folder = tmp_path / name
        training = train(small_base, its_rows, [], hp(**values), folder=folder, seed=seed)
        next(event for event in training if isinstance(event, Step) and event.step == 2)
        training.close()
        assert not taken(small_base, rows, folder), name


@pytest.mark.parametrize(
    "changed",
    [{"step": "2"}, {"step": "-3"}, {"losses": '["a", {}]'}, {"epoch_ended": "7"}, {"seen": "0"}],
)
def test_figures_of_a_state_that_were_changed_are_noticed(small_base, rows, tmp_path, changed):
    state = stopped_at(small_base, rows, hp(), tmp_path, 4)
    with safe_open(state, "pt") as file:
        metadata = file.metadata() | changed
    save_file(load_file(state), state, metadata=metadata)
    assert not taken(small_base, rows, tmp_path)


def test_impossible_figures_of_an_older_release_are_noticed(small_base, rows, tmp_path):
    state = stopped_at(small_base, rows, hp(), tmp_path, 4)
    with safe_open(state, "pt") as file:
        metadata = file.metadata() | {"step": "-3"}
    del metadata["training"], metadata["seal"]
    save_file(load_file(state), state, metadata=metadata)
    assert not taken(small_base, rows, tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes or links here")
@pytest.mark.parametrize("put", [os.mkdir, os.mkfifo, lambda path: os.symlink("kept", path)])
def test_what_is_not_a_file_is_no_state(small_base, rows, tmp_path, put):
    state = stopped_at(small_base, rows, hp(), tmp_path, 4)
    state.rename(tmp_path / "kept")
    put(state)
    assert not taken(small_base, rows, tmp_path)


def test_a_state_of_another_rank_is_not_taken(small_base, rows, tmp_path):
    stopped_at(small_base, rows, hp(lora_rank=4, batch_size=4), tmp_path, 2)
    assert isinstance(next(train(small_base, rows, [], hp(), folder=tmp_path)), StateUnreadable)


def test_no_weight_that_is_not_a_number_is_ever_saved(small_base, rows, tmp_path, monkeypatch):
    """Gradients that are not numbers in the last step, whose loss is one still."""
    real, calls = torch.nn.utils.clip_grad_norm_, []

    def clip(weights, limit):
        calls.append(weights)
        if len(calls) == 6:
            weights[0].grad.fill_(torch.nan)
        return real(weights, limit)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
    with pytest.raises(Diverged, match="第 6 步的梯度"):
        list(train(small_base, rows, [], hp(), folder=tmp_path))
    # The checkpoint of the epoch before is there and whole.
    weights = load_file(tmp_path / "step_3" / "adapter_model.safetensors")
    assert all(weight.isfinite().all() for weight in weights.values())
    assert not (tmp_path / "step_6").exists()


def test_a_job_that_is_stopped_with_spoilt_weights_saves_no_state(small_base, rows, tmp_path):
    training = train(small_base, rows, [], hp(), folder=tmp_path)
    next(event for event in training if isinstance(event, Step))
    weights = training.gi_frame.f_locals["run"].weights
    weights[0].data.fill_(torch.inf)
    with pytest.raises(Diverged, match="第 1 步的权重"):
        training.close()
    assert not (tmp_path / "state.safetensors").exists()


def test_a_base_whose_weights_are_no_numbers_is_named_not_the_learning_rate(
    small_base, rows, tmp_path
):
    model, tokenizer = load(small_base)
    model.model.norm.weight.data.fill_(torch.nan)
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    base = dataclasses.replace(small_base, source=str(tmp_path / "base"))
    for valid_rows in ([], rows[:2]):
        with pytest.raises(ModelError, match="还没训练"):
            list(train(base, rows, valid_rows, hp(), folder=tmp_path / "job"))
        # Nothing was trained, so that the job fails rather than waits.
        assert not (tmp_path / "job").exists()
