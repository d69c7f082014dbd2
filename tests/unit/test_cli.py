import contextlib
import json
import subprocess
import sys

import nbformat
import pytest
from other_language import sentences
from texts import HAN

from cookbook import course
from cookbook.__main__ import main
from cookbook.paths import DATA


def loaded(module: str, *names: str) -> list[str]:
    """Return those of `names` that importing a module, or several, loads, whole or in part."""
    code = f"import sys, json, {module}; print(json.dumps(list(sys.modules)))"
    modules = json.loads(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    )
    return [name for name in names if any(m == name or m.startswith(f"{name}.") for m in modules)]


def test_importing_the_package_loads_nothing_heavy():
    assert loaded("cookbook", "torch", "transformers", "fastapi", "matplotlib", "pandas") == []


def test_matplotlib_is_loaded_by_the_first_picture():
    assert loaded("cookbook.jobs, cookbook.compare, cookbook.data", "matplotlib") == []


def test_the_service_starts_without_what_takes_long_to_load():
    assert loaded("cookbook.service.__main__", "torch", "transformers", "openai", "pandas") == []


def test_no_part_but_connection_knows_the_embedded_service():
    parts = ("data", "params", "jobs", "compare", "zhishuo", "tokens", "panel")
    modules = ", ".join(f"cookbook.{part}" for part in parts)
    assert loaded(modules, "cookbook.service", "torch") == []


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
        "column",
        "severity",
        "code",
        "message",
        "fix",
    }


def test_a_reader_of_the_output_may_stop_early(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n" * 5000, encoding="utf-8")
    command = [sys.executable, "-m", "cookbook", "check", str(path), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


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
        name in text for name in ("check", "course", "run", "serve", "status", "stop")
    )


@pytest.mark.parametrize("command", ["check", "course", "run", "status", "stop"])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_help_of_a_command_shows_an_example(command, language, capsys, monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", language)
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    examples = text.partition("例子：" if language == "zh" else "Examples:")[2]
    assert f"python -m cookbook {command}" in examples


def test_the_help_of_serve_is_in_the_readers_language(capsys, monkeypatch):
    for language, words in (("zh", "在前台运行内嵌服务"), ("en", "Run the embedded service")):
        monkeypatch.setenv("COOKBOOK_LANG", language)
        with pytest.raises(SystemExit):
            main(["serve", "--help"])
        assert words in capsys.readouterr().out


COMMANDS = ("check", "course", "export", "import", "pull", "room", "run", "serve", "status", "stop")
# argparse's own words, which are not in the package's source.
ENGLISH_WORDS = ("usage:", "options:", "arguments", "show this help", "error:", "expected")


def said(arguments, capsys):
    """What a command prints before it ends."""
    with contextlib.suppress(SystemExit):
        main(arguments)
    printed = capsys.readouterr()
    return printed.out + printed.err


def is_in(language, text):
    """Return whether a text has nothing of the other language."""
    words = [] if language == "en" else [word for word in ENGLISH_WORDS if word in text]
    has_own = bool(HAN.search(text)) == (language == "zh")
    return has_own and sentences([text], language) == words == []


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_help_of_each_command_is_in_one_language(command, language, capsys, monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", language)
    assert is_in(language, said([*command.split(), "--help"], capsys))


WRONG = [
    "",
    "no-such-command",
    "check",
    "check a.jsonl b.jsonl",
    "check nowhere.jsonl",
    "course",
    "run nowhere.ipynb",
    "run --out",
    "export no-such-model DIR",
    "export --as zip a b",
    "import nowhere.zip",
    "room --jobs many",
    "room --hours -1",
    "room dance",
    "serve --port x",
    "status",
    "stop",
]


@pytest.mark.parametrize("line", WRONG)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_what_is_typed_wrong_is_explained_in_one_language(
    line, language, capsys, monkeypatch, tmp_path
):
    monkeypatch.setenv("COOKBOOK_LANG", language)
    monkeypatch.setenv("COOKBOOK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert is_in(language, said(line.split(), capsys))


def test_the_help_of_check_says_what_it_accepts_and_how_it_ends(capsys):
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    text = capsys.readouterr().out
    assert all(words in text for words in (".jsonl", "10 MB", "1000 行", "数组", "退出码：0"))


def test_stopping_nothing_says_so(tmp_path, capsys):
    assert main(["stop", "--home", str(tmp_path)]) == 0
    assert "没有运行" in capsys.readouterr().out


def test_course_copies_every_notebook_and_nothing_else(tmp_path, capsys):
    assert main(["course", str(tmp_path / "mine")]) == 0
    copied = {
        path.relative_to(tmp_path / "mine"): path.read_bytes()
        for path in (tmp_path / "mine").rglob("*")
        if path.is_file()
    }
    shipped = {
        path.relative_to(course.FOLDER): path.read_bytes()
        for path in course.FOLDER.rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    }
    assert copied == shipped
    assert f"{len(shipped)} 个" in capsys.readouterr().out


def test_course_never_overwrites_a_changed_notebook_unasked(tmp_path, capsys):
    main(["course", str(tmp_path)])
    changed, lost = sorted(tmp_path.glob("*.ipynb"))[:2]
    original = changed.read_bytes()
    changed.write_text("mine", encoding="utf-8")
    lost.unlink()
    assert main(["course", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "--force" in message and changed.name in message and lost.name not in message
    assert changed.read_text(encoding="utf-8") == "mine" and not lost.exists()
    assert main(["course", str(tmp_path), "--force"]) == 0
    assert changed.read_bytes() == original and lost.exists()


def test_course_leaves_identical_notebooks_alone(tmp_path, capsys):
    main(["course", str(tmp_path)])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.ipynb")}
    assert main(["course", str(tmp_path)]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_file_in_the_place_of_the_course_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main(["course", str(tmp_path / "file")]) == 1
    assert "不是文件夹" in capsys.readouterr().err


def test_run_takes_the_notebooks_of_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.ipynb", "a.ipynb"):
        (tmp_path / name).write_text("", encoding="utf-8")
    assert [path.name for path in course.runnable()] == ["a.ipynb", "b.ipynb"]


def test_run_in_a_checkout_takes_its_notebooks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert course.runnable() == course.notebooks(course.FOLDER) != []


def test_run_with_nothing_to_run_names_the_remedy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(course, "FOLDER", tmp_path / "installed")  # as from a wheel
    assert main(["run"]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "python -m cookbook course" in message


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [("nowhere.ipynb", None, "没有文件"), ("text.ipynb", "text", "不是能读的笔记本")],
)
def test_what_is_no_notebook_is_refused_in_a_sentence(tmp_path, capsys, name, content, complaint):
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert main(["run", str(tmp_path / name)]) == 1
    message = capsys.readouterr().err
    assert complaint in message and "Traceback" not in message


def test_a_folder_without_notebooks_is_refused(tmp_path, capsys):
    assert main(["run", str(tmp_path)]) == 1
    assert "没有笔记本" in capsys.readouterr().err


def write_notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_notebook_that_fails_ends_with_1_and_leaves_its_page(tmp_path, capsys):
    path = write_notebook(tmp_path / "bad.ipynb", "6 * 7", "1 / 0", "'never'")
    assert main(["run", str(path), "--out", str(tmp_path / "pages")]) == 1
    page = (tmp_path / "pages" / "bad.html").read_text(encoding="utf-8")
    assert "42" in page and "ZeroDivisionError" in page
    assert "ZeroDivisionError" in capsys.readouterr().err
