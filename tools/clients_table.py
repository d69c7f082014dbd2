"""Try the clients that people use against a real service, and write the table of docs/api.md.

    make clients

The clients have an environment of their own: LangChain's suite brings pytest plugins, and a client
speaks HTTP alone. openai's API tests are those of the pinned release's source, fetched from the
package index. tests/soak/test_clients.py runs the same and compares the table with what it sees.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

from openai import OpenAI

from cookbook import connect, connection, data
from cookbook.job_states import UNFINISHED
from cookbook.paths import DATA

ROOT = Path(__file__).parent.parent
LONGEST = 900  # seconds for one suite, on a machine that does other things as well
CLIENTS = ROOT / "tests" / "clients"
FOLDER = ROOT / ".venv-clients"
PYTHON = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
BEGIN, END = "<!-- clients: make clients -->", "<!-- end of clients -->"

# Nothing is asked of anybody but the service.
QUIET = {
    "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
}

# What a refusal says, in the order in which they are looked for, and the words of the table.
REASONS = {
    r"a base model cannot be deleted": "a base cannot be deleted",
    r"purpose must be": "files for another purpose than `fine-tune` and `batch`",
    r"limit must be": "a page of 0 entries",
    r"does not support \w+ /v1/chat/completions": "stored chat completions",
    r"does not support \w+ /v1/embeddings": "embeddings",
    r"does not support \w+ /v1/responses": "`/v1/responses`: choose chat completions",
    r"tools is not supported here": "tools: choose output by JSON schema",
    r"not supported here": "all parameters at once, of which some are not done here",
}

API_TESTS = ["test_models.py", "test_files.py", "test_completions.py", "chat/test_completions.py"]
API_TESTS += ["fine_tuning/test_jobs.py", "fine_tuning/jobs"]

# Rows whose answers are short JSON, so that the small base knows where a text in JSON ends.
JOKES = ["cats", "dogs", "teachers", "rain", "tea", "robots", "Monday", "the sea"]
ASKED = ["Tell me a joke about {}.", "Give me a joke about {}, include the punchline."]
ASKED += ["Give me the setup to a joke about {}, no punchline."]
ASKED += ["Tell me a joke about {}. Return the result as a JSON with 'setup' and 'punchline' keys."]


@dataclass
class Result:
    """What was tried with one client or suite; a refusal counts under its reason."""

    name: str
    version: str
    works: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)  # neither works nor is refused by name

    def add(self, name: str, said: str) -> None:
        """Count a habit or test: it worked where nothing was said."""
        if not said:
            self.works.append(name)
            return
        reasons = [words for pattern, words in REASONS.items() if re.search(pattern, said)]
        if reasons:
            self.refused[reasons[0]] += 1
        else:
            self.unexpected.append(f"{name}: {said[:300]}")


def measure() -> list[Result]:
    """Run all clients and suites against a service of their own; return a result for each."""
    with tempfile.TemporaryDirectory() as folder, _service(Path(folder)) as (service, tuned):
        names = {"OPENAI_BASE_URL": service.base_url, "OPENAI_API_KEY": service.api_key}
        base = names | {"MODEL": service.base_model}
        results = _programs(base)
        results.append(_langchain(names | {"MODEL": tuned}, Path(folder)))
        results.append(_openai_api(service, Path(folder)))
    return results


@contextlib.contextmanager
def _service(folder: Path) -> Iterator[tuple[connection.Connection, str]]:
    """Start a service that speaks English; give it with the name of a tuned model."""
    before = os.environ.get("COOKBOOK_LANG")
    os.environ["COOKBOOK_LANG"] = "en"
    service = connect(home=folder / "home")
    try:
        client = OpenAI(base_url=service.base_url, api_key=service.api_key)
        with client:
            yield service, _tuned(client, service.base_model)
    finally:
        connection.stop(folder / "home")
        os.environ.pop("COOKBOOK_LANG")
        if before is not None:
            os.environ["COOKBOOK_LANG"] = before


def _tuned(client: OpenAI, base: str) -> str:
    """Tune the base to answer with short JSON."""
    rows = []
    for number, subject in enumerate(JOKES):
        answer = json.dumps({"setup": f"Why {number}?", "punchline": f"So {subject}."})
        for text in ASKED:
            asked = {"role": "user", "content": text.format(subject)}
            rows.append({"messages": [asked, {"role": "assistant", "content": answer}]})
    file = client.files.create(file=("jokes.jsonl", data.to_jsonl(rows)), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model=base,
        training_file=file.id,
        hyperparameters={"n_epochs": 10, "batch_size": 4, "learning_rate": 5e-4},
        extra_body={"validation_split": 0},
    )
    while job.status in UNFINISHED:
        time.sleep(1)
        job = client.fine_tuning.jobs.retrieve(job.id)
    if job.fine_tuned_model is None:
        raise RuntimeError(f"{job.id}: {job.error}")
    return job.fine_tuned_model


def _run(command: list[str | Path], environment: dict[str, str], folder: Path) -> str:
    """Run the clients' Python; return what it printed."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [PYTHON, *command],
        cwd=folder,
        env=inherited | QUIET | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST,
    )
    return done.stdout


def _programs(environment: dict[str, str]) -> list[Result]:
    tokenizer = {"TOKENIZER": str(DATA / "models" / "tiny-zh")}
    printed = _run([CLIENTS / "programs.py"], environment | tokenizer, ROOT)
    results: dict[str, Result] = {}
    for line in printed.splitlines():
        if not line.startswith('{"client"'):
            continue
        tried = json.loads(line)
        result = results.setdefault(tried["client"], Result(tried["client"], tried["version"]))
        result.add(tried["habit"], tried["said"])
    if not results:
        raise RuntimeError(printed[-2000:])
    return list(results.values())


# Suites


def _langchain(environment: dict[str, str], folder: Path) -> Result:
    # Not our settings and fixtures, which need our packages. One event loop for all tests, since
    # LangChain keeps its connections from one to the next.
    options = ["-c", os.devnull, f"--confcutdir={CLIENTS}", "-o", "asyncio_mode=auto"]
    options += ["-o", "asyncio_default_test_loop_scope=session"]
    result = Result("langchain-tests: the standard suite", "")
    _pytest(result, [*options, CLIENTS / "langchain_standard.py"], environment, folder, CLIENTS)
    result.version = _installed("langchain-tests")
    return result


def _openai_api(service: connection.Connection, folder: Path) -> Result:
    source = _openai_source(folder)
    result = Result("openai: its API tests", version("openai"))
    tests = [Path("tests", "api_resources", test) for test in API_TESTS]
    with _forwarder(service) as address:
        options = ["-o", "addopts=", "-W", "ignore"]
        _pytest(result, [*options, *tests], {"TEST_API_BASE_URL": address}, folder, source)
    return result


@contextlib.contextmanager
def _forwarder(service: connection.Connection) -> Iterator[str]:
    """Run tests/clients/forward.py, and give its address."""
    environment = {
        "OPENAI_BASE_URL": service.base_url,
        "OPENAI_API_KEY": service.api_key,
        "MODEL": service.base_model,
        "PYTHONPATH": str(ROOT / "tests"),
    }
    command = [sys.executable, CLIENTS / "forward.py"]
    with subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def _openai_source(folder: Path) -> Path:
    """Fetch the source of the openai release that is installed here; return its folder."""
    release = f"openai=={version('openai')}"
    options = ["--quiet", "--no-deps", "--no-binary", "openai", "--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "download", *options, release]
    subprocess.run(command, cwd=folder, check=True, stderr=subprocess.DEVNULL)
    archive = next(folder.glob("openai-*.tar.gz"))
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def _pytest(
    result: Result,
    arguments: list[str | Path],
    environment: dict[str, str],
    folder: Path,
    source: Path,
) -> None:
    """Run tests by the clients' pytest, and count each in the result."""
    report = folder / "report.xml"
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    printed = _run([*command, *arguments], environment, source)
    cases = list(ElementTree.parse(report).getroot().iter("testcase")) if report.exists() else []
    if not cases:
        raise RuntimeError(printed[-2000:])
    for case in cases:
        # A test that its suite skips says nothing of the service.
        if case.find("skipped") is not None:
            continue
        failures = case.findall("failure") + case.findall("error")
        said = failures[0].get("message", "failed") if failures else ""
        result.add(case.get("name", ""), said)


def _installed(package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version('{package}'))"
    return _run(["-c", code], {}, ROOT).strip()


# The table


def table(results: list[Result]) -> str:
    """Return the table of docs/api.md."""
    lines = ["| client | version | works | refused by name |", "| --- | --- | --- | --- |"]
    for result in results:
        is_suite = ":" in result.name
        works = f"{len(result.works)} tests" if is_suite else "; ".join(result.works)
        refused = "; ".join(
            f"{words} ({number})" if is_suite else words
            for words, number in sorted(result.refused.items())
        )
        lines.append(f"| {result.name} | {result.version} | {works} | {refused or '–'} |")
    return "\n".join(lines)


def written(document: str) -> str:
    """Return the table that the document holds."""
    return document.split(BEGIN)[1].split(END)[0].strip()


def main() -> None:
    results = measure()
    for result in results:
        for line in result.unexpected:
            print(f"{result.name}: {line}")
    path = ROOT / "docs" / "api.md"
    document = path.read_text(encoding="utf-8")
    before, after = document.split(BEGIN)[0], document.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
