"""The check of a batch file: every faulty line is named, and each fault is one sentence."""

import json

import pytest

from cookbook.service import batch_file, file_check, limits


def request_line(number=1, **fields):
    """Return a valid line; a test overrides one field, and None leaves it out."""
    body = {"model": "tiny", "messages": [{"role": "user", "content": "你好"}]}
    line = {"custom_id": f"r{number}", "body": body} | fields
    return {name: value for name, value in line.items() if value is not None}


def content_of(*lines):
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return "\n".join(texts).encode() + b"\n"


def found_in(*lines):
    """Return the line and the code of each fault."""
    faults = batch_file.faults("a.jsonl", content_of(*lines))
    return [(fault.line, fault.code) for fault in faults]


def test_the_platforms_own_example_is_right():
    body = {
        "model": "deepseek-ai/DeepSeek-V3",
        "messages": [
            {"role": "system", "content": "You are helpful"},
            {"role": "user", "content": "How does photosynthesis work?"},
        ],
        "stream": True,
        "max_tokens": 1514,
    }
    url = "/v1/chat/completions"
    line = {"custom_id": "request-1", "method": "POST", "url": url, "body": body}
    assert found_in(line) == []


ODD_MESSAGES = [None, [], "你好", [{"role": "assistant", "content": "好"}], ["你好"]]


@pytest.mark.parametrize(
    "line, code",
    [
        ("{", "json"),
        ("[]", "json"),
        ('{"custom_id": "a", "custom_id": "b", "body": {}}', "json"),
        ('{"custom_id": "\\ud800"}', "json"),
        ('{"custom_id": "a", "body": ' + "[" * 200 + "]" * 200 + "}", "json"),
        (request_line(custom_id=None), "custom-id"),
        (request_line(custom_id=7), "custom-id"),
        (request_line(custom_id=""), "custom-id"),
        (request_line(custom_id="x" * 201), "custom-id"),
        (request_line(method="GET"), "method"),
        (request_line(url="/v1/embeddings"), "url"),
        (request_line(priority=1), "unknown-key"),
        (request_line(body=None), "body"),
        (request_line(body=[]), "body"),
        *[(request_line(body={"messages": value}), "messages") for value in ODD_MESSAGES],
        ({"messages": [{"role": "user", "content": "问"}], "custom_id": "a"}, "training-row"),
    ],
)
def test_one_fault_has_one_sentence_and_its_line(line, code):
    assert found_in(request_line("first"), line, request_line("last")) == [(2, code)]


def test_a_custom_id_that_comes_again_is_named_with_the_line_that_had_it_first():
    lines = [request_line(custom_id=name) for name in ("a", "b", "a", "a")]
    faults = batch_file.faults("a.jsonl", content_of(*lines))
    assert [fault.line for fault in faults] == [3, 4]
    assert "第 1 行" in faults[0].text
    assert batch_file.report(faults).startswith("第 3-4 行：custom_id a")


def test_one_bad_line_never_hides_another_and_the_report_names_all():
    lines = [request_line(n, url=f"/{n}") if n % 2 else request_line(n) for n in range(1, 200)]
    verdict = file_check.check("a.jsonl", content_of(*lines), "batch")
    assert verdict.error == "url"
    assert verdict.text.count("\n") == batch_file.MOST_SHOWN
    for number in range(1, 200, 2):
        assert f"{number}" in verdict.text
    assert "、199" in verdict.text


def test_blank_lines_a_mark_and_windows_line_ends_are_no_fault():
    text = json.dumps(request_line(1)) + "\r\n\r\n  \n" + json.dumps(request_line(2))
    content = b"\xef\xbb\xbf" + text.encode()
    assert batch_file.faults("a.jsonl", content) == []
    assert [number for number, _ in batch_file.lines(content)] == [1, 4]


@pytest.mark.parametrize(
    "name, content, code",
    [
        ("a.json", content_of(request_line()), "file-suffix"),
        ("a.jsonl", b"", "file-empty"),
        ("a.jsonl", b"\n \n", "file-empty"),
        ("a.jsonl", "你".encode("gbk"), "encoding"),
        ("a.jsonl", b'{"custom_id": "' + b"x" * limits.BODY_BYTES + b'"}', "line-size"),
    ],
)
def test_what_is_wrong_with_the_whole_file(name, content, code):
    assert file_check.check(name, content, "batch").error == code


def test_a_file_may_have_5000_lines_and_no_more():
    lines = [request_line(number) for number in range(5001)]
    assert found_in(*lines[:5000]) == []
    assert found_in(*lines) == [(0, "too-many-lines")]


def test_the_models_of_a_file_come_with_their_lines():
    messages = request_line()["body"]["messages"]
    nameless = request_line(3, body={"messages": messages})
    content = content_of(request_line(1), request_line(2), nameless)
    assert batch_file.models_of(content) == {"tiny": [1, 2], None: [3]}


def test_lines_are_named_in_spans():
    assert batch_file.spans([1, 3, 4, 5, 9]) == "1、3-5、9"
