import json
import subprocess
import sys

import pytest

from cookbook.__main__ import main
from cookbook.paths import DATA


def loaded(module: str, *names: str) -> list[str]:
    """Which of `names` a fresh interpreter has loaded, they or parts of them, when it has imported `module`."""
    code = f"import sys, json, {module}; print(json.dumps(list(sys.modules)))"
    modules = json.loads(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    )
    return [name for name in names if any(m == name or m.startswith(f"{name}.") for m in modules)]


def test_importing_the_package_loads_nothing_heavy():
    assert loaded("cookbook", "torch", "transformers", "fastapi", "matplotlib", "pandas") == []


def test_the_service_starts_without_what_takes_long_to_load():
    assert loaded("cookbook.service.__main__", "torch", "transformers", "openai", "pandas") == []


@pytest.mark.parametrize(
    "part", ["data", "params", "jobs", "compare", "zhishuo", "tokens", "panel"]
)
def test_no_part_but_connection_knows_the_embedded_service(part):
    assert loaded(f"cookbook.{part}", "cookbook.service", "torch") == []


def test_check_ends_with_0_for_a_good_file(capsys):
    assert main(["check", str(DATA / "zhishuoxinyu" / "train.jsonl")]) == 0
    assert "没有问题" in capsys.readouterr().out


def test_check_ends_with_1_for_a_bad_file_and_its_json_can_be_read(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text("{\n[]", encoding="utf-8")
    assert main(["check", str(path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"file", "rows", "errors", "warnings", "problems", "stats"}
    assert [p["code"] for p in found["problems"] if p["line"]] == ["json", "not-object"]
    assert set(found["problems"][0]) == {
        "line",
        "message_index",
        "severity",
        "code",
        "message",
        "fix",
    }


def test_check_ends_with_2_for_what_cannot_be_read(tmp_path):
    assert main(["check", str(tmp_path / "nowhere.jsonl")]) == 2


def test_messages_can_be_english(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", "en")
    main(["check", str(tmp_path / "nowhere.jsonl")])
    assert "cannot read" in capsys.readouterr().out


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0 and all(
        name in text for name in ("check", "serve", "status", "stop", "run")
    )


def test_stopping_nothing_says_so(tmp_path, capsys):
    assert main(["stop", "--home", str(tmp_path)]) == 0
    assert "没有运行" in capsys.readouterr().out
