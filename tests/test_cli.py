import json
import subprocess
import sys

import pytest

from cookbook.__main__ import main
from cookbook.paths import DATA


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, cookbook; print([m for m in ('torch', 'transformers', 'fastapi', 'matplotlib', 'pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_service_starts_without_what_takes_long_to_load():
    code = "import sys, cookbook.local.__main__; print([m for m in ('torch', 'transformers', 'openai', 'pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("part", ["data", "params", "jobs", "compare", "zhishuo", "tokens", "panel"])
def test_no_part_but_connection_knows_the_embedded_service(part):
    code = f"import sys, cookbook.{part}; print([m for m in sys.modules if m.startswith('cookbook.local') or m == 'torch'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


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
    assert set(found["problems"][0]) == {"line", "message_index", "severity", "code", "message", "fix"}


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
    assert ended.value.code == 0 and all(name in text for name in ("check", "serve", "status", "stop", "run"))


def test_stopping_nothing_says_so(tmp_path, capsys):
    assert main(["stop", "--home", str(tmp_path)]) == 0
    assert "没有运行" in capsys.readouterr().out
