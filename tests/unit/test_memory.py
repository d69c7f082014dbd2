"""Memory plans: what they need, how they are chosen, and what a reader is told."""

import dataclasses

import pytest

from cookbook import bases, memory, params
from cookbook.machine import GB, Machine, at_least
from cookbook.memory import BFLOAT16, FLOAT32, NF4, STORED_BFLOAT16, Task
from cookbook.params import PRESETS, Hyperparameters
from cookbook.shapes import Shape, published

STANDARD = PRESETS["standard"].to_dict()
SIZES = ("0.5B", "1.5B", "7B")


def shape(size):
    return published(f"Qwen/Qwen2.5-{size}-Instruct")


def laptop(free, **values):
    """Return a computer without a GPU that has so many GB free."""
    return Machine("cpu", int(free * GB), int(free * GB), **{"bfloat16": True} | values)


def gpu(free, **values):
    usual = {"bfloat16": True, "four_bit": True}
    return Machine("cuda", int(free * GB), int(free * GB), **usual | values)


def plan(size, tokens, machine, level=0, **hp):
    return memory.choose(shape(size), [tokens] * 32, STANDARD | hp, machine, level=level)


@pytest.mark.parametrize("tokens, most", [(1000, 4), (4096, 6)])
def test_a_small_base_is_trained_frugally_even_where_memory_is_plenty(tokens, most):
    for free in (20, 5):
        made = plan("0.5B", tokens, laptop(free))
        assert made.fits and made.needed <= min(most, free) * GB


@pytest.mark.parametrize("bfloat16", [True, False])
def test_a_laptop_of_8_gb_with_5_free_trains_the_smallest_real_base(bfloat16):
    for tokens in (50, 1000, 4096):
        assert plan("0.5B", tokens, laptop(5, bfloat16=bfloat16)).fits


@pytest.mark.parametrize("size, card", [("7B", 15), ("14B", 23)])
def test_long_rows_fit_on_one_card_in_4_bit(size, card):
    made = plan(size, 4096, gpu(card))
    assert made.fits and made.weights == NF4
    without = plan(size, 4096, gpu(card, four_bit=False))
    assert not without.fits and without.weights == BFLOAT16


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("machine", [laptop, gpu])
def test_less_free_memory_never_gives_a_larger_plan(size, machine):
    for tokens in (50, 4096):
        needed = [plan(size, tokens, machine(free)).needed for free in (60, 24, 16, 8, 5, 3, 1)]
        assert needed == sorted(needed, reverse=True)


@pytest.mark.parametrize("size", SIZES)
def test_each_level_needs_less_until_nothing_is_left_to_save(size):
    for machine in (laptop(40), laptop(40, bfloat16=False), gpu(40)):
        plans = [plan(size, 1000, machine, level) for level in range(4)]
        needed = [made.needed for made in plans]
        assert [made.level for made in plans] == [0, 1, 2, 3]
        smallest = plan(size, 1000, dataclasses.replace(machine, free=0)).needed
        for now, after in zip(needed, needed[1:], strict=False):
            assert after < now or after == smallest


def test_the_first_retry_is_clearly_smaller():
    first, second = plan("0.5B", 1000, laptop(20)), plan("0.5B", 1000, laptop(20), level=1)
    assert second.needed <= 0.8 * first.needed and second.checkpointed > first.checkpointed


def test_weights_are_of_the_type_that_the_machine_computes_in():
    assert plan("0.5B", 1000, laptop(20)).weights == BFLOAT16
    assert plan("0.5B", 1000, laptop(20, bfloat16=False)).weights == FLOAT32
    # As storage where memory asks for it.
    assert plan("1.5B", 1000, laptop(7, bfloat16=False)).weights == STORED_BFLOAT16
    # Float32 costs little there and gives the same figures everywhere.
    tiny = bases.card("cookbook/tiny-zh").shape
    assert memory.choose(tiny, [60] * 100, STANDARD, laptop(20)).weights == FLOAT32


def test_short_rows_go_together_and_long_ones_alone():
    short, long = plan("0.5B", 50, laptop(20)), plan("0.5B", 4096, laptop(20))
    assert short.micro_batch == STANDARD["batch_size"] and short.checkpointed == 0
    assert long.micro_batch == 1 and 0 < long.checkpointed < long.layers


def test_lengths_count_as_they_are_cut_and_only_the_longest_batch():
    cut = Task.of(shape("0.5B"), [9000, 100, 50], STANDARD | {"max_tokens": 512, "batch_size": 2})
    assert (cut.longest, cut.batch_tokens) == (512, 612)
    assert memory.choose(shape("0.5B"), [], STANDARD, laptop(20)).fits


def test_every_part_of_the_estimate_has_bytes_and_the_peak_is_no_less():
    task = Task.of(shape("1.5B"), [1000], STANDARD)
    settings = memory.Settings("cpu", BFLOAT16, 512, 28, 128)
    parts = memory.parts(task, settings)
    assert set(parts) == {"runtime", "weights", "adapter", "activations", "work"}
    assert all(size > 0 for size in parts.values())
    assert memory.peak(task, settings) == sum(parts.values())
    # While a file in bfloat16 becomes float32, both are there.
    short = Task.of(shape("1.5B"), [1], STANDARD)
    loading = dataclasses.replace(settings, weights=FLOAT32)
    assert memory.peak(short, loading) > sum(memory.parts(short, loading).values())


def test_what_does_not_fit_says_what_would_with_figures(monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", "en")
    made = plan("1.5B", 4096, laptop(4))
    assert not made.fits and "only 4.0 GB are free" in str(made)
    remedy = made.remedy
    # Each was computed: it fits, and a bit more does not.
    assert plan("1.5B", 4096, laptop(4), max_tokens=remedy.max_tokens).fits
    assert not plan("1.5B", 4096, laptop(4), max_tokens=remedy.max_tokens + 64).fits
    assert remedy.smaller_base == "Qwen/Qwen2.5-0.5B-Instruct"
    assert plan("1.5B", 4096, laptop(remedy.memory / GB)).fits
    assert plan("1.5B", 4096, gpu(remedy.four_bit_gpu / GB)).fits
    for words in (f"set max_tokens to {remedy.max_tokens}", "0.5B", "4 bit on a GPU", "machine"):
        assert words in made.refusal


def test_a_readers_own_limit_is_not_taken_for_the_size_of_the_machine(monkeypatch):
    small = dataclasses.replace(laptop(2), limit=2 * GB)
    made = plan("1.5B", 1000, small)
    assert "COOKBOOK_MEMORY 只许用 2.0 GB" in str(made)
    enough = made.remedy.limit
    assert plan("1.5B", 1000, laptop(enough / GB)).fits
    assert made.remedies()[0] == f"把 COOKBOOK_MEMORY 调到 {at_least(enough)} 以上".replace(
        " GB", "GB"
    )
    monkeypatch.setenv("COOKBOOK_LANG", "en")
    assert "COOKBOOK_MEMORY allows only 2.0 GB" in str(made)
    # A machine that is smaller than its limit.
    assert plan("1.5B", 1000, dataclasses.replace(laptop(2), limit=9 * GB)).remedy.limit is None


def test_figures_show_which_of_them_is_more():
    made = plan("0.5B", 1000, laptop(16))
    just_short = plan("0.5B", 1000, laptop((made.needed / GB) - 3))
    for free in (just_short.needed - 2**20, just_short.needed - 2**22):
        close = dataclasses.replace(just_short, free=free)
        needed, there = close.beside(free)
        assert needed != there and needed in str(close) and there in str(close)


def test_other_programs_are_named_where_closing_them_is_enough(monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", "en")
    busy = Machine("cpu", GB, 8 * GB, bfloat16=True)
    assert plan("0.5B", 1000, busy).remedies()[0] == "close other programs"
    assert plan("0.5B", 1000, busy).fits_when_idle
    assert "close other programs" not in plan("7B", 1000, busy).remedies()


def test_a_plan_is_one_line_in_both_languages(monkeypatch):
    made = memory.MemoryPlan(3 * GB, 6 * GB, "cpu", BFLOAT16, 512, 2, 24, 24, 128)
    assert str(made) == (
        "约需 3.0 GB，空闲 6.0 GB：每次 2 条（micro-batch），重算激活（checkpointing），"
        "loss 每次算 128 个 token，权重 bfloat16"
    )
    monkeypatch.setenv("COOKBOOK_LANG", "en")
    assert str(made) == (
        "needs about 3.0 GB of 6.0 GB free: micro-batches of 2, checkpointing on, "
        "loss in chunks of 128 tokens, weights in bfloat16"
    )
    some = dataclasses.replace(made, checkpointed=12, device="cuda", weights=NF4)
    assert "free on the GPU" in str(some) and "on in 12 of 24 layers" in str(some)
    assert "checkpointing off" in str(dataclasses.replace(made, checkpointed=0))
    assert made.remedies() == [] and "needs about 3.0 GB" in repr(made)


def test_plans_of_the_same_training_are_equal_whatever_is_free_at_the_moment():
    assert plan("0.5B", 50, laptop(20)) == plan("0.5B", 50, laptop(19))


def test_params_plan_has_the_memory_of_this_machine_or_of_the_services():
    hp, name = Hyperparameters(), "Qwen/Qwen2.5-0.5B-Instruct"
    here = params.plan([1000] * 100, hp, base=name)
    assert here.memory.needed > GB and here.to_frame().loc["memory", "value"].endswith(" GB")
    card = dataclasses.replace(bases.card(name), machine=gpu(141))
    there = params.plan([1000] * 100, hp, base=card)
    assert there.memory.device == "cuda" and there.memory.free == 141 * GB


def test_there_is_no_memory_plan_where_nothing_is_known_or_a_platform_trains():
    platforms = "Qwen/Qwen2.5-7B-Instruct"
    for base in (None, "someone/else", platforms):
        assert params.plan([1000] * 100, Hyperparameters(), base=base).memory is None


def test_sizes_travel_as_a_configuration():
    for size in SIZES:
        assert Shape.of(shape(size).to_config()) == shape(size)


def sharded(size, tokens, machine, workers, **hp):
    values = STANDARD | hp
    return memory.choose(shape(size), [tokens] * 32, values, machine, workers=workers, sharded=True)


def test_workers_who_cut_up_the_layers_need_less_each_the_more_they_are():
    for machine in (laptop(40), laptop(40, bfloat16=False), gpu(40)):
        needed = [sharded("7B", 1000, machine, workers).needed for workers in (2, 4, 8)]
        assert needed == sorted(needed, reverse=True) and needed[0] > needed[-1]


def test_what_is_sharded_counts_its_part_a_few_whole_layers_and_the_embeddings():
    base = shape("7B")
    task = Task.of(base, [1000], STANDARD, workers=4, sharded=True)
    settings = memory.Settings("cuda", BFLOAT16, 512, 28, 128)
    layer = 2 * (base.parameters - base.embeddings) / base.num_hidden_layers
    embeddings = 2 * base.embeddings
    parts = memory.parts(task, settings)
    assert parts["weights"] == pytest.approx((28 / 4 + 3) * layer + embeddings)
    alone = memory.parts(Task.of(base, [1000], STANDARD), settings)
    # One more tensor for the sum of the gradients.
    assert parts["adapter"] == alone["adapter"] * 20 / 16
    # No worker ever reads the whole base, whatever becomes of its type.
    on_cpu = dataclasses.replace(settings, device="cpu", weights=FLOAT32)
    assert memory.peak(task, on_cpu) == sum(memory.parts(task, on_cpu).values())


def test_each_worker_plans_for_its_share_of_a_batch():
    lengths = [400, 300, 200, 100, 50]
    task = Task.of(shape("0.5B"), lengths, STANDARD | {"batch_size": 5}, workers=2)
    assert (task.batch_size, task.longest, task.batch_tokens) == (3, 400, 900)
    made = memory.choose(shape("0.5B"), [50] * 32, STANDARD, laptop(20), workers=4)
    assert made.micro_batch == 2 and made.workers == 4 and not made.sharded


def test_the_fewest_workers_are_found_with_which_a_base_fits():
    machine = gpu(24, four_bit=False)
    assert not plan("14B", 1000, machine).fits
    lengths = [1000] * 32
    made = memory.workers_needed(shape("14B"), lengths, STANDARD, machine, most=16)
    assert made.fits and made.sharded and made.weights == BFLOAT16
    assert made == sharded("14B", 1000, machine, made.workers)
    fewer = sharded("14B", 1000, machine, made.workers - 1)
    assert fewer.needed > 0.9 * machine.free
    # Without another worker it is taken if it fits at all.
    most = made.workers - 1
    found = memory.workers_needed(shape("14B"), lengths, STANDARD, machine, most)
    assert found == (fewer if fewer.fits else None)
    # Embedding and head are whole in each worker.
    tiny = gpu(1)
    assert memory.workers_needed(shape("14B"), lengths, STANDARD, tiny, most=100) is None


def test_blocks_of_4_bit_are_never_cut_up():
    assert plan("14B", 1000, gpu(15)).weights == NF4
    assert sharded("14B", 1000, gpu(15), 2).weights == BFLOAT16


def test_a_plan_of_several_workers_says_so_in_both_languages():
    fits = sharded("7B", 1000, gpu(24), 2)
    assert "on each of 2 GPUs" in fits.en and fits.en.endswith("weights in bfloat16, sharded")
    assert fits.zh.startswith("用 2 个 worker，每个显存约需") and fits.zh.endswith("，分片存放")
    short = sharded("7B", 1000, laptop(4), 2)
    assert "are free on each of 2 workers" in short.en
    why = short.refused("a base")
    assert "训练 a base 用 2 个 worker，每个约需" in why.zh
    assert "training a base needs about" in why.en
    # What one machine would need is said of one worker.
    assert plan("7B", 1000, laptop(short.remedy.memory / GB)).fits
    assert plan("7B", 1000, gpu(short.remedy.four_bit_gpu / GB)).fits
    alone = plan("7B", 1000, gpu(24))
    assert "worker" not in alone.zh + alone.en and "分片" not in alone.zh


def test_plans_are_read_back_with_their_workers_and_older_ones_without():
    made = sharded("7B", 1000, gpu(24), 2)
    values = dataclasses.asdict(made)
    assert memory.MemoryPlan.of_dict(values) == dataclasses.replace(made, level=0)
    older = {name: values[name] for name in values if name not in ("workers", "sharded")}
    read = memory.MemoryPlan.of_dict(older)
    assert (read.workers, read.sharded) == (1, False)
    for damaged in ({"workers": True}, {"workers": "2"}, {"sharded": 1}):
        assert memory.MemoryPlan.of_dict(values | damaged) is None
