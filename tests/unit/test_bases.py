import dataclasses
import shutil

import pytest
from openai import OpenAI

from cookbook import bases, params, siliconcloud
from cookbook.bases import Base
from cookbook.errors import ModelError
from cookbook.params import Hyperparameters
from cookbook.paths import DATA

TINY = "cookbook/tiny-zh"


@pytest.mark.parametrize(
    "size, published",
    [
        ("7B", 7_615_616_512),
        ("14B", 14_770_033_664),
        ("32B", 32_763_876_352),
        ("72B", 72_706_203_648),
    ],
)
def test_the_weights_of_the_platforms_bases_are_those_published(size, published):
    assert bases.card(f"Qwen/Qwen2.5-{size}-Instruct").parameters == published


def test_the_tiny_base_brings_its_scale_and_its_corpus():
    tiny = bases.find(TINY)
    assert (tiny.learning_rate_scale, tiny.corpus) == (17, "train_tiny.jsonl")
    assert (DATA / "zhishuoxinyu" / tiny.corpus).is_file()
    assert tiny.tokens_per_second is None


def test_a_real_base_never_gets_the_teaching_corpus_nor_its_measures():
    for base in (bases.card("Qwen/Qwen2.5-0.5B-Instruct"), bases.card("someone/else")):
        assert (base.corpus, base.measures, base.style_measure) == ("train.jsonl", (), "similarity")
        assert all(name in base.note for name in ("train.jsonl", *bases.TEACHING_MEASURES))
        assert "\n" not in base.note


def test_the_tiny_base_is_measured_by_what_it_was_taught():
    tiny = bases.card(TINY)
    assert tiny.measures == bases.TEACHING_MEASURES and tiny.style_measure in tiny.measures
    assert "不量" not in tiny.note and tiny.corpus in tiny.note


def test_a_plan_takes_the_scale_from_the_bases_card():
    used = params.plan([100] * 100, Hyperparameters(), base=TINY).learning_rate_used
    assert used == pytest.approx(0.0017)
    assert params.plan([100] * 100, Hyperparameters()).learning_rate_used == 1e-4


def test_a_folder_becomes_the_first_base_and_the_tiny_one_stays(monkeypatch, tmp_path):
    folder = shutil.copytree(DATA / "models" / "tiny-zh", tmp_path / "Mine-Instruct")
    (folder / "cookbook.json").unlink()
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", str(folder))
    assert [base.id for base in bases.installed()] == ["Mine-Instruct", TINY]
    mine = bases.card("Mine-Instruct")
    assert (mine.learning_rate_scale, mine.corpus) == (1, "train.jsonl")
    assert mine.adapter_share(8) > mine.adapter_share(4) > 0


def test_a_rebuilt_base_brings_its_own_card(monkeypatch, tmp_path):
    folder = shutil.copytree(DATA / "models" / "tiny-zh", tmp_path / "mine")
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", str(folder))
    mine = dataclasses.replace(bases.card(TINY), id="mine", source=str(folder))
    assert bases.card("mine") == mine


def test_nothing_is_made_up_for_a_base_that_is_not_known():
    assert bases.card("someone/else") == Base("someone/else", "someone/else")
    assert bases.card("someone/else").adapter_share(8) is None


def test_a_base_that_is_gone_says_which_variable_changed():
    with pytest.raises(ModelError, match="COOKBOOK_BASE_MODEL"):
        bases.find("Mine-Instruct")


def test_siliconcloud_is_not_asked_for_what_it_does_not_say():
    # A request would fail here.
    client = OpenAI(base_url="https://api.siliconflow.cn/v1", api_key="x")
    assert bases.offered(client) == list(siliconcloud.BASES)
    assert bases.card(TINY, client) == bases.card(TINY)
