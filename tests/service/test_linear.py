"""Files that are made to hang a check are checked: a few of the many in tests/soak/test_linear.py.

Time is not measured. What is not linear would take minutes here, and is ended before.
"""

import pytest
from support import make_row

from cookbook import data
from cookbook.service.file_check import FileChecks
from cookbook.zhishuo import patterns

N = 40_000
TEXTS = {
    "keys without an end, then NUL": "-----BEGIN PRIVATE KEY" * (N // 5) + "\0",
    "addresses": "a@b.cc " * N,
    "phone numbers": "13812345678 " * N,
    "runs of white space": (" " * 4999 + "a") * (N // 400),
    "marks out of order": "か" + "\u302a" * N + "\u3099",
}


@pytest.fixture(scope="module")
def checks():
    with FileChecks(seconds=20) as checks:
        yield checks


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_made_to_hang_the_check_is_checked(name, checks):
    content = data.to_jsonl([make_row(user=TEXTS[name])])
    assert checks.check("a.jsonl", content).has_problems


def test_a_flood_of_secrets_is_counted_and_the_first_of_them_shown():
    report = data.check([make_row(user="13812345678 " * 6000)], max_tokens=None)
    secrets = [problem for problem in report.problems if problem.code == "secret"]
    assert report.counts["warning", "secret"] == 6000
    assert len(secrets) == report.limit_per_code
    assert {problem.message for problem in secrets} == {"像是手机号：138******78"}


def test_a_sentence_that_repeats_its_joint_keeps_the_pattern():
    good = "一场考试，开场时，都懂" + "，散场后" * N + "，都忘了。"
    assert patterns.pattern_ok(good)
    assert not patterns.pattern_ok(good[:-1])
    assert not patterns.pattern_ok("一场\n考试，开场时，都懂，散场后，都忘了。")


def test_rows_in_memory_may_be_nested_as_deep_as_they_like():
    deep = []
    for _ in range(5000):
        deep = [deep]
    message = {"role": deep, "content": deep}
    rows = [deep, {"messages": deep}, {"messages": [deep]}, {"messages": [message]}]
    assert data.check(rows).errors == 5
