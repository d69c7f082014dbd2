import re

import pytest

from cookbook import bases, params
from cookbook.bases import Base
from cookbook.errors import HyperparameterError
from cookbook.params import INTEGER_PARAMETERS, PRESETS, RANGES, Hyperparameters, plan


def test_the_presets_are_those_of_the_guide():
    values = {name: tuple(preset.to_dict().values()) for name, preset in PRESETS.items()}
    assert values == {
        "standard": (0.0001, 3, 8, 4096, 8, 32, 0.05),
        "quality": (0.0001, 5, 16, 4096, 16, 64, 0.1),
        "fast": (0.0001, 2, 8, 4096, 4, 16, 0.05),
    }


def test_names_and_meanings_follow_the_readers_language(monkeypatch):
    rank = RANGES["lora_rank"]
    shown = {}
    for language in ("zh", "en"):
        monkeypatch.setenv("COOKBOOK_LANG", language)
        names = dict(params.PRESET_NAMES)
        assert list(names) == list(PRESETS)
        shown[language] = (rank.label, rank.meaning, names["standard"])
    assert shown["zh"] == (rank.label_zh, rank.zh, "标准方案")
    assert shown["en"] == (rank.label_en, rank.en, "standard")


@pytest.mark.parametrize("name", [*RANGES, "validation"])
def test_every_range_has_both_languages(name):
    rule = params.VALIDATION if name == "validation" else RANGES[name]
    for zh, en in ((rule.label_zh, rule.label_en), (rule.zh, rule.en)):
        assert re.search("[一-鿿]", zh) and not re.search("[一-鿿]", en)


@pytest.mark.parametrize("name", RANGES)
def test_a_range_is_accepted_to_its_ends_and_not_beyond(name):
    rule = RANGES[name]
    cast = int if name in INTEGER_PARAMETERS else float
    for value in (rule.low, rule.high):
        if value != rule.refused:
            assert getattr(Hyperparameters(**{name: cast(value)}), name) == value
    for value in (rule.low - 1, rule.high + 1):
        with pytest.raises(HyperparameterError, match=name):
            Hyperparameters(**{name: cast(value)})


@pytest.mark.parametrize(
    "name, value", [("learning_rate", 0), ("max_tokens", 0), ("lora_dropout", 1.0)]
)
def test_a_value_that_learns_nothing_is_refused_with_that_reason(name, value):
    with pytest.raises(HyperparameterError, match="建议"):
        Hyperparameters(**{name: value})


@pytest.mark.parametrize("value", [True, "3", 2.5, float("nan"), None])
def test_a_value_of_the_wrong_kind_is_refused(value):
    with pytest.raises(HyperparameterError):
        Hyperparameters(n_epochs=value)


def test_all_bad_values_are_named_at_once():
    with pytest.raises(HyperparameterError) as caught:
        Hyperparameters(learning_rate=1, n_epochs=0, lora_rank=65)
    assert set(caught.value.problems) == {"learning_rate", "n_epochs", "lora_rank"}


def test_to_code_makes_the_same_object():
    hp = Hyperparameters(learning_rate=3e-5, lora_dropout=0.2)
    assert eval(hp.to_code(), {"Hyperparameters": Hyperparameters}) == hp


def test_a_plan_counts_steps_as_the_trainer_does(row):
    made = plan([row() for _ in range(101)], Hyperparameters(batch_size=8, n_epochs=3))
    assert (made.train_rows, made.validation_rows) == (91, 10)
    assert (made.steps_per_epoch, made.total_steps) == (12, 36)


CARD = Base("small", source="small", learning_rate_scale=30, tokens_per_second=50)


def test_a_plan_says_the_rate_really_used_and_the_cost(row):
    made = plan([row()] * 10, Hyperparameters(), base=CARD, price=2.0, tokens_per_second=100)
    assert made.learning_rate_used == pytest.approx(0.003)
    assert made.cost == pytest.approx(made.tokens * 2e-6)
    assert made.seconds == pytest.approx(made.tokens / 100)


def test_a_plan_expects_the_speed_on_the_card_of_the_base(row):
    made = plan([row()] * 10, Hyperparameters(), base=CARD)
    assert made.seconds == pytest.approx(made.tokens / 50) and made.cost is None


def test_a_base_may_be_given_by_its_name(row):
    name = "cookbook/tiny-zh"
    made = plan([row()], Hyperparameters(), base=name)
    assert made == plan([row()], Hyperparameters(), base=bases.find(name))
    assert made.learning_rate_used > 1e-4


def test_an_unknown_base_changes_nothing(row):
    assert plan([row()], Hyperparameters(), base="a/b") == plan([row()], Hyperparameters())


@pytest.mark.parametrize("name", ["my-task_1", "a", "a" * 64])
def test_a_task_name_is_letters_digits_and_two_marks(name):
    assert params.TASK_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "a" * 65, "我的任务", "a b", "a:b", "a\n"])
def test_other_task_names_do_not_match(name):
    assert not params.TASK_NAME.fullmatch(name)


def test_rows_over_max_tokens_count_as_cut(row):
    short, whole = plan([row()], Hyperparameters(max_tokens=5)), plan([row()], Hyperparameters())
    assert short.tokens == 5 * 3 < whole.tokens


@pytest.mark.parametrize(
    "rows, share, held",
    [(0, 0.1, 0), (1, 0.1, 0), (2, 0.1, 1), (2, 0.99, 1), (100, 0, 0), (430, 0.1, 43)],
)
def test_at_least_one_row_is_held_back_and_never_all(rows, share, held):
    assert params.validation_rows(rows, share) == held


def test_a_plan_of_counts_is_the_plan_of_the_rows(row):
    rows = [row(assistant="好" * n) for n in (1, 50, 400)]
    assert plan(params.token_counts(rows), Hyperparameters()) == plan(rows, Hyperparameters())


def test_a_validation_file_holds_no_row_of_the_training_file_back(row):
    made = plan([row()] * 20, Hyperparameters(), validation=[row()] * 5)
    assert (made.train_rows, made.validation_rows) == (20, 5)


@pytest.mark.parametrize(
    "longest, suggested", [(1, 64), (63, 64), (64, 128), (4000, 4032), (4090, 4096), (9000, 4096)]
)
def test_max_tokens_is_suggested_above_the_longest_row(longest, suggested):
    assert params.suggest_max_tokens([1, longest]) == suggested


@pytest.mark.parametrize(
    "hp, rows, name",
    [
        ({"lora_rank": 32, "lora_alpha": 16}, 400, "lora_alpha"),
        ({"learning_rate": 0.01}, 400, "learning_rate"),
        ({"n_epochs": 10}, 30, "n_epochs"),
        ({"batch_size": 32, "n_epochs": 5}, 20, "batch_size"),
        ({"n_epochs": 1}, 100, "batch_size"),
        ({"max_tokens": 9}, 400, "max_tokens"),
    ],
)
def test_a_risky_choice_is_warned_of_by_name(hp, rows, name):
    hp = Hyperparameters(**hp)
    assert name in dict(params.warnings(hp, plan([10] * rows, hp)))


def test_few_rows_for_many_epochs_are_warned_of_with_their_number():
    hp = Hyperparameters(n_epochs=10)
    assert "27 条数据看 10 轮" in dict(params.warnings(hp, plan([10] * 30, hp)))["n_epochs"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_on_the_advised_number_of_rows_is_not_warned_of(name):
    assert params.warnings(PRESETS[name], plan([10] * 400, PRESETS[name])) == []


def test_without_validation_there_is_a_warning():
    assert "validation" in dict(
        params.warnings(Hyperparameters(), plan([10] * 400, Hyperparameters(), validation=0))
    )


def test_a_plan_says_how_long_it_takes_or_that_nobody_knows_yet():
    known = plan([100] * 80, Hyperparameters(), tokens_per_second=10)
    assert (known.total_steps, known.time) == (27, "36.0 分钟")
    assert known.expected == "共 27 步，按上一次训练的速度约 36.0 分钟"
    unknown = plan([100] * 80, Hyperparameters())
    assert unknown.time == "未知" and "还不知道" in unknown.expected


def test_an_english_reader_gets_no_chinese(monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", "en")
    risky = Hyperparameters(
        learning_rate=0.02, n_epochs=10, batch_size=32, max_tokens=50, lora_alpha=4
    )
    short = plan([60] * 20, risky, validation=0)
    texts = [reason for _, reason in params.warnings(risky, short)]
    texts += [short.expected, plan([60] * 20, risky, tokens_per_second=9).expected]
    for name in (*RANGES, "validation"):
        for value in ("x", -1, 0, 1, 5000):
            texts.append(params.problem(name, value) or "")
    texts += [bases.card(base).note for base in ("cookbook/tiny-zh", "someone/else")]
    assert len(texts) > 40 and not re.search("[一-鿿]", "\n".join(texts))


def test_a_plan_shows_whole_numbers_without_decimals(row):
    made = plan([row()] * 10, Hyperparameters(), price=1.0)
    assert made.to_frame().loc["train_rows", "value"] == 9
    assert "9.0" not in made._repr_html_()
