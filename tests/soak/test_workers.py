"""One job on two workers: the losses and the adapter of one worker, whole or sharded."""

import dataclasses
import random
from unittest import mock

import pytest
import torch
from ranks import Ranks
from safetensors.torch import load_file
from support import make_row

from cookbook import memory
from cookbook.errors import Diverged, ModelError
from cookbook.machine import GB, Machine
from cookbook.memory import BFLOAT16, STORED_BFLOAT16
from cookbook.params import Hyperparameters
from cookbook.service.engine.load import load
from cookbook.service.engine.train import train
from cookbook.service.engine.workers import ALONE, Workers
from cookbook.service.events import Checkpoint, Planned, Started, StateUnreadable, Step

# Nine of these are batches of 4, 4 and 1: the last has fewer rows than there are workers.
ROWS = [
    make_row(user=f"第{i}个问题" * (1 + i % 3), assistant=f"答案是{i}，请收好。" * (1 + i % 4))
    for i in range(11)
]
HP = Hyperparameters(n_epochs=2, batch_size=4, learning_rate=1e-3, lora_dropout=0.1).to_dict()
STEPS = 6

# Sums in float32 are taken in another order: 1.2e-7 of a loss and 3e-7 of a weight were measured.
LOSS_TOLERANCE = 1e-6
WEIGHT_TOLERANCE = 2e-6


@pytest.fixture(scope="module")
def pair():
    with Ranks(2) as ranks:
        yield ranks


def trained(rank, base, folder, workers=(1, False), stop_at=None, hp=HP, **plan):
    """Train, to the end or up to a step; return the events. `plan` changes the memory plan."""
    world, sharded = workers
    choose = memory.choose

    def chosen(*arguments, **settings):
        return dataclasses.replace(choose(*arguments, **settings), **plan)

    own = folder / str(rank)
    events = []
    with mock.patch.object(memory, "choose", chosen):
        training = train(
            base, ROWS[:9], ROWS[9:], hp, folder=own, seed=1, workers=Workers(rank, world, sharded)
        )
        for event in training:
            events.append(event)
            if isinstance(event, Step) and event.step == stop_at:
                training.close()
    return events


def in_pair(rank, base, folder, sharded, changes):
    return trained(rank, base, folder, (2, sharded), **changes)


def losses(events):
    steps = [event for event in events if isinstance(event, Step)]
    return [(step.step, step.train_loss, step.valid_loss or 0, step.tokens) for step in steps]


def adapter(folder, step=STEPS):
    return load_file(folder / "0" / f"step_{step}" / "adapter_model.safetensors")


def assert_like(folder, other, tolerance):
    """Assert that two adapters have the same weights."""
    expected = adapter(other)
    for name, weight in adapter(folder).items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=tolerance)


def without_time(event):
    if isinstance(event, Step):
        return dataclasses.replace(event, tokens_per_second=0, seconds_left=0)
    return dataclasses.replace(event, folder=None) if hasattr(event, "folder") else event


@pytest.fixture(scope="module", params=[False, True], ids=["whole", "sharded"])
def unbroken(request, pair, small_base, tmp_path_factory):
    """Return a training by two workers: whether it was sharded, its folder, the events of both."""
    folder = tmp_path_factory.mktemp("unbroken")
    return request.param, folder, pair.call(in_pair, small_base, folder, request.param, {})


@pytest.mark.parametrize("fast", ["1", "0"])
@pytest.mark.parametrize("sharded", [False, True])
def test_two_workers_train_as_one_does(pair, small_base, tmp_path, monkeypatch, sharded, fast):
    # PEFT draws its dropout in each process for itself.
    hp = HP if fast == "1" else HP | {"lora_dropout": 0.0}
    monkeypatch.setenv("COOKBOOK_FAST", fast)
    alone = trained(0, small_base, tmp_path / "alone", hp=hp)
    both = pair.call(in_pair, small_base, tmp_path / "two", sharded, {"hp": hp}, COOKBOOK_FAST=fast)
    for ours, theirs in zip(losses(alone), losses(both[0]), strict=True):
        assert theirs == pytest.approx(ours, rel=LOSS_TOLERANCE)
    assert_like(tmp_path / "two", tmp_path / "alone", WEIGHT_TOLERANCE)
    assert both[0][-1].update_norm == pytest.approx(alone[-1].update_norm, rel=LOSS_TOLERANCE)
    assert both[0][-1].trained_tokens == alone[-1].trained_tokens
    # Each worker tells the same, and rank 0 alone has written.
    assert [*map(without_time, both[0])] == [*map(without_time, both[1])]
    assert not (tmp_path / "two" / "1").exists()


def test_the_first_events_tell_how_many_train(unbroken, small_base, tmp_path):
    sharded, _, both = unbroken
    planned, started = both[0][:2]
    assert isinstance(planned, Planned) and isinstance(started, Started)
    assert started.n_workers == planned.memory.workers == 2
    assert planned.memory.sharded == sharded
    alone = trained(0, small_base, tmp_path)[1]
    assert alone.n_workers == 1
    assert started.parameters == alone.parameters
    assert started.adapter_parameters == alone.adapter_parameters


@pytest.mark.parametrize(
    "changes",
    [
        # A row at a time: the workers have as many passes only with empty ones.
        {"micro_tokens": 0, "checkpointed": 1},
        {"weights": BFLOAT16, "checkpointed": 2},
        {"weights": STORED_BFLOAT16},
    ],
    ids=["row by row", "bfloat16", "stored"],
)
def test_sharded_layers_train_as_whole_ones_bit_for_bit(pair, small_base, tmp_path, changes):
    sharded, whole = (
        pair.call(in_pair, small_base, tmp_path / str(cut), cut, changes)[0]
        for cut in (True, False)
    )
    assert losses(sharded) == losses(whole)
    assert_like(tmp_path / "True", tmp_path / "False", 0)


@pytest.mark.parametrize("stop_at", [2, STEPS // 2, STEPS])
def test_a_pause_changes_nothing_and_rank_0_alone_has_the_state(
    unbroken, pair, small_base, tmp_path, stop_at
):
    sharded, folder, whole = unbroken
    first = pair.call(in_pair, small_base, tmp_path, sharded, {"stop_at": stop_at})
    assert not (tmp_path / "1").exists()
    rest = pair.call(in_pair, small_base, tmp_path, sharded, {})
    for rank in (0, 1):
        assert losses(first[rank]) + losses(rest[rank]) == losses(whole[rank])
    assert_like(tmp_path, folder, 0)
    assert without_time(rest[1][-1]) == without_time(whole[0][-1])


def test_a_damaged_state_is_set_aside_by_all(pair, small_base, tmp_path):
    pair.call(in_pair, small_base, tmp_path, False, {"stop_at": 2})
    state = tmp_path / "0" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    both = pair.call(in_pair, small_base, tmp_path, False, {})
    for events in both:
        assert isinstance(events[1], StateUnreadable)
        assert len(losses(events)) == STEPS
    assert [type(event) for event in both[0]].count(Checkpoint) == 1


def test_a_rate_that_ruins_the_weights_ends_all_workers_with_its_reason(pair, small_base, tmp_path):
    base = dataclasses.replace(small_base, learning_rate_scale=1e36)
    with pytest.raises(Diverged, match="学习速率"):
        pair.call(in_pair, base, tmp_path, False, {})
    # They still work together: none of them has waited for the others.
    assert pair.call(in_pair, small_base, tmp_path / "again", False, {})


def bytes_held(rank, base):
    """Return the bytes of a sharded base's weights that this worker has, and of those it shares."""
    from torch.distributed.tensor import DTensor

    model, _ = load(base, memory.FLOAT32, shards=2)
    held = cut = 0
    for parameter in model.parameters():
        mine = parameter.to_local() if isinstance(parameter, DTensor) else parameter
        held += mine.numel() * mine.element_size()
        if isinstance(parameter, DTensor):
            cut += parameter.numel() * parameter.element_size()
    return held, cut


def test_each_worker_holds_a_part_of_every_layer(pair, small_base):
    model, _ = load(small_base)
    (first, cut), (second, _) = pair.call(bytes_held, small_base)
    layers = 4 * sum(parameter.numel() for parameter in model.model.layers.parameters())
    whole = 4 * model.num_parameters()
    assert cut == layers and first == second == whole - layers // 2


def weakest(rank, machines):
    return Workers(rank, 2).weakest(machines[rank])


def test_all_plan_for_the_weakest_and_share_the_memory_of_a_machine(pair):
    rich = Machine("cpu", 10 * GB, 16 * GB, bfloat16=True)
    poor = Machine("cpu", 6 * GB, 8 * GB, bfloat16=False)
    expected = Machine("cpu", 3 * GB, 4 * GB, bfloat16=False)
    assert pair.call(weakest, [rich, poor]) == [expected, expected]
    card = Machine("cuda", 10 * GB, 16 * GB, bfloat16=True, four_bit=True, name="a card")
    assert pair.call(weakest, [card, card]) == [card, card]
    with pytest.raises(ModelError, match="没有可用的显卡"):
        pair.call(weakest, [rich, card])


def test_rows_are_dealt_out_by_tokens():
    draw = random.Random(1)
    for _ in range(200):
        world = draw.randint(2, 5)
        lengths = [draw.randint(1, 300) for _ in range(draw.randint(1, 12))]
        shares = Workers(0, world).shares(lengths)
        assert sorted(place for share in shares for place in share) == [*range(len(lengths))]
        # What a memory plan counts with.
        even = -(-len(lengths) // world)
        most = sum(sorted(lengths)[-even:])
        assert max(sum(lengths[place] for place in share) for share in shares) <= most
    assert ALONE.shares([3, 1, 2]) == [[0, 1, 2]]
