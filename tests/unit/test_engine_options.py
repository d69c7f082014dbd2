"""What is typed for engines is what is used; anything else is refused in one sentence."""

import pytest

from cookbook import engine_options
from cookbook.engine_options import ADDRESS, KEY, MODELS, EngineSettings
from cookbook.errors import ArgumentError
from cookbook.service.__main__ import parse

HERE = "http://127.0.0.1:8000"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in (ADDRESS, KEY, MODELS):
        monkeypatch.delenv(name, raising=False)


def typed(*words):
    return parse(["--home", "x", *words]).engines


def test_without_an_engine_there_is_none():
    assert typed() is None


@pytest.mark.parametrize("text", [HERE, f"{HERE}/", f"{HERE}/v1", f" {HERE}/v1/ "])
def test_an_address_is_read_as_people_paste_it(text):
    assert typed("--engine", text) == EngineSettings((HERE,))


def test_several_addresses_are_each_an_engine_once():
    words = ["--engine", HERE, "--engine", "https://gpu/vllm", "--engine", f"{HERE}/v1"]
    assert typed(*words).addresses == (HERE, "https://gpu/vllm")


def test_the_environment_says_what_the_command_line_leaves_out(monkeypatch, tmp_path):
    monkeypatch.setenv(ADDRESS, f"{HERE}, http://gpu:8000\thttp://gpu:8001")
    monkeypatch.setenv(KEY, "k")
    monkeypatch.setenv(MODELS, f"{tmp_path}=/adapters/")
    found = typed()
    assert found.addresses == (HERE, "http://gpu:8000", "http://gpu:8001")
    assert (found.key, found.models, found.models_there) == ("k", tmp_path, "/adapters/")
    found = typed("--engine", "http://other:1", "--engine-key", "mine")
    assert (found.addresses, found.key) == (("http://other:1",), "mine")


def test_a_folder_is_seen_by_the_engine_under_the_same_path_unless_told(tmp_path):
    found = typed("--engine", HERE, "--engine-models", str(tmp_path))
    assert (found.models, found.models_there) == (tmp_path, "")


@pytest.mark.parametrize(
    "text", ["127.0.0.1:8000", "ftp://x", "http://", f"{HERE}/?a=b", "http://a b", "http://x:port"]
)
def test_what_is_not_an_address_is_refused(text):
    with pytest.raises(ArgumentError, match="--engine"):
        typed("--engine", text)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--engine-key", "k"], "--engine-key 要和 --engine 一起用"),
        (["--engine-models", "."], "--engine-models 要和 --engine 一起用"),
        (["--engine", HERE, "--engine-key", "密钥"], "ASCII"),
        (["--engine", "http://me:pw@gpu", "--engine-key", "k"], "只留一个"),
        (["--engine", HERE, "--engine-models", "nowhere"], "不是已有的目录"),
        (["--engine", HERE, "--engine-models", "=/adapters"], "不是已有的目录"),
        (["--engine", HERE, "--engine-models", ".=adapters"], "不是绝对路径"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_remedy(words, match):
    with pytest.raises(ArgumentError, match=match):
        typed(*words)


def test_no_password_or_key_is_ever_shown():
    settings = parse(["--home", "x", "--engine", "http://me:hidden@gpu:8000"])
    keyed = parse(["--home", "x", "--engine", HERE, "--engine-key", "hidden"])
    assert "hidden" not in repr(settings) + repr(keyed) and "gpu:8000" in repr(settings)
    for password in ("hidden", "hidden" * 20):
        with pytest.raises(ArgumentError) as refused:
            typed("--engine", f"ftp://me:{password}@gpu")
        assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_help_names_each_variable(lang, monkeypatch, capsys):
    monkeypatch.setenv("COOKBOOK_LANG", lang)
    with pytest.raises(SystemExit):
        parse(["--help"])
    shown = "".join(capsys.readouterr().out.split())
    for name in ("--engine", "--engine-key", "--engine-models", ADDRESS, KEY, MODELS):
        assert name in shown


def test_the_room_has_the_same_options():
    from cookbook.__main__ import _parser

    words = ["room", "--people", "2", "--engine", HERE, "--engine-key", "k"]
    assert engine_options.of(_parser().parse_args(words)) == EngineSettings((HERE,), "k")
