"""Nothing that somebody else wrote reaches the terminal as a control sequence."""

import json
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest

from cookbook import compare, data, jobs, siliconcloud
from cookbook.__main__ import main
from cookbook.compare.judge import tally
from cookbook.errors import ArgumentError
from cookbook.html import template
from cookbook.jobs.identifier import Verified
from cookbook.jobs.view import JobView, StateLines
from cookbook.params import PRESETS
from cookbook.terminal import printable

HOSTILE = "\x1b[2J\x1b]0;title\x07 \x9b1m \u202egpj\u2066 \r\x08\x7f\ud800"
OBEYED = set("\x1b\x07\x9b\u202e\u2066\r\x08\x7f\ud800")


def harmless(text: str) -> bool:
    return not OBEYED & set(text)


def answers():
    text = HOSTILE[:-1]  # pandas refuses half characters itself
    row = {"column": "a" + text, "input": "b" + text, "answer": text, "note": text}
    failed = row | {"column": "c", "error": text}
    return pd.DataFrame([row | {"error": None}, failed])


def view(error=None):
    job = SimpleNamespace(
        id="ftjob-1",
        user_provided_suffix=HOSTILE,
        status="failed" if error else "running",
        error=error,
        paused=False,
    )
    event = SimpleNamespace(id="e", message=HOSTILE, type="message", data=None)
    return JobView(job, [event], new=1)


def verified():
    return Verified(HOSTILE, siliconcloud.Identifier("b", "t", HOSTILE, "s", None), HOSTILE, True)


def watched(capsys):
    from cookbook.jobs.watch import _Terminal

    _Terminal().show([view()], HOSTILE, last=True)
    return capsys.readouterr().out


PATHS = {
    "side_by_side": lambda row: repr(compare.side_by_side(answers(), note="note")),
    "as_trained": lambda row: repr(jobs.as_trained(row(assistant="好" + HOSTILE[:-1]))),
    "view": lambda row: repr(view()),
    "view of a failed job": lambda row: repr(view(SimpleNamespace(message=HOSTILE, code="x"))),
    "state lines": lambda row: repr(StateLines([view()], HOSTILE)),
    "report": lambda row: str(data.check_bytes(json.dumps(row()).encode(), HOSTILE)),
    "row that is wrong": lambda row: str(
        data.check_bytes(json.dumps({"messages": [{"role": HOSTILE}]}).encode(), "a.jsonl")
    ),
    "tally": lambda row: str(tally([HOSTILE, "b"], HOSTILE, "b")),
    "verified": lambda row: repr(verified()),
    "console sheet": lambda row: repr(jobs.console_sheet(HOSTILE, HOSTILE, PRESETS["fast"])),
    "error": lambda row: str(ArgumentError(zh=HOSTILE, en=HOSTILE)),
    "explain": lambda row: jobs.explain(ValueError(HOSTILE)),
    "template": lambda row: template("{{ text }}").render(text=HOSTILE),
}


@pytest.mark.parametrize("name", PATHS)
def test_control_sequences_are_shown(name, row):
    text = PATHS[name](row)
    assert harmless(text), repr(text)
    assert "\\x1b" in text


def test_what_watch_prints_is_shown(capsys):
    text = watched(capsys)
    assert harmless(text) and text.count("\\x1b[2J") == 2


def test_a_file_with_a_hostile_name_and_rows_is_checked_without_harm(tmp_path, capsys, row):
    path = tmp_path / f"{HOSTILE[:-1]}.jsonl"
    lines = [json.dumps(row(user=HOSTILE)), json.dumps({"role": HOSTILE}), HOSTILE[:-1]]
    path.write_text("\n".join(lines), encoding="utf-8")
    for options in ([], ["--json"]):
        main(["check", str(path), *options])
        assert harmless(capsys.readouterr().out)


def test_a_notebook_with_a_hostile_name_is_refused_without_harm(capsys):
    main(["run", f"{HOSTILE[:-1]}.ipynb"])
    text = capsys.readouterr().err
    assert harmless(text) and "\\x1b" in text


def test_what_run_prints_of_cells_answers_and_errors_is_shown(tmp_path, capsys):
    sources = [
        f"text = {HOSTILE[:-1]!r}; print(text)",
        "display({'text/plain': text}, raw=True)",
        "print('10 %\\r20 %')",
        "import pandas; pandas.DataFrame({'answer': [text]})",
        "raise ValueError(text)",
    ]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[3].metadata["tags"] = ["summary"]
    path = tmp_path / "a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells[:4]), path)
    assert main(["run", str(path), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert harmless(printed) and printed.count("\\x1b[2J") >= 3
    # A progress bar's states come one below the other.
    assert "      10 %\n      20 %" in printed

    nbformat.write(nbformat.v4.new_notebook(cells=[cells[0], cells[4]]), path)
    assert main(["run", str(path), "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr().err
    assert harmless(printed) and "\\x1b[2J" in printed and "[0;31m" not in printed


def test_line_breaks_tabs_and_joined_emoji_keep_their_meaning():
    text = "一\n\t二\r\n👩‍💻 קובץ"
    assert printable(text) == text.replace("\r\n", "\n")


def test_an_escape_is_counted_in_the_width_of_a_line():
    cell = {"column": "a", "input": "b", "answer": "\x1b" * 100}
    lines = repr(compare.side_by_side(pd.DataFrame([cell]))).splitlines()
    assert max(map(len, lines)) <= 4 + 92
