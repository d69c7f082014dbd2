"""A JupyterHub with a room: five people, the hub's own proxy, and one of them in Chromium.

pytest -s tests/soak/test_hub.py      with the figures of docs/room_hub.md

The hub's environment is .venv-hub (see Makefile), which has no torch. Everybody runs notebook 00:
one in JupyterLab, from an nbgitpuller link; the others cell by cell over their kernel's websocket.
"""

import contextlib
import json
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import nbformat
import psutil
import pytest
from jupyter_hub import PASSWORD, Person, jupyter_hub, wait_until
from lab import browser
from support import training_processes

from cookbook import course
from cookbook.paths import DATA, Home
from cookbook.room.hub import name_of, notebooks_link

NOTEBOOK = "00_quickstart.ipynb"
IN_LAB = "p01"
BY_CELLS = ("p02", "p03", "李雷", "li.lei@example.com")
PEOPLE = (IN_LAB, *BY_CELLS)
WITH_TORCH = "libtorch_cpu"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Run a hub whose people, but one, have the notebooks."""
    folder = tmp_path_factory.mktemp("hub")
    for person in BY_CELLS:
        course.copy(folder / "people" / person / "course")
    with jupyter_hub(folder) as running:
        yield running


# What people do


def run_cells(hub, name) -> Person:
    """Run notebook 00 cell by cell, with few rows: on two cores the trainings take turns."""
    person = Person(hub, name)
    person.start()
    person.kernel = person.open(f"course/{NOTEBOOK}")
    person.memory.append(person.kernel.run(MEMORY))
    notebook = nbformat.read(person.home / "course" / NOTEBOOK, as_version=4)
    few = person.home / "few.jsonl"
    few.write_text("".join(ALL.read_text(encoding="utf-8").splitlines(True)[:FEW]), "utf-8")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            person.shown += person.kernel.run(
                cell.source.replace("file=path", f"file=open({str(few)!r}, 'rb')")
            )
            if "connect()" in cell.source:
                person.memory.append(person.kernel.run(MEMORY))
    person.memory += [person.kernel.run(MEMORY), person.kernel.run(IMPORTS + MEMORY)]
    return person


ALL = DATA / "customer_service" / "train.jsonl"
FEW = 16
IMPORTS = """
import pandas
from matplotlib import pyplot
from cookbook import bases, compare, data, jobs, panel, params, zhishuo
pyplot.plot([1, 2])
pyplot.close()
"""
MEMORY = "import psutil; psutil.Process().memory_info().rss >> 20"


def run_all_in_lab(hub, repository) -> Person:
    """Follow the link, log in, and run all cells in JupyterLab."""
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(notebooks_link(hub.address, repository.as_uri()))
        page.get_by_label("Username").fill(IN_LAB)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("| Idle").wait_for(timeout=90_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        file = hub.folder / "people" / IN_LAB / repository.name / "notebooks" / NOTEBOOK

        def is_run():
            page.keyboard.press("Control+s")
            page.wait_for_timeout(2000)
            # A cell that is still running has no number.
            codes = [cell for cell in read_saved(file).cells if cell.cell_type == "code"]
            return codes[-1].execution_count == len(codes)

        wait_until(is_run)
        page.close()
    person = Person(hub, IN_LAB)
    outputs = [cell.get("outputs", []) for cell in read_saved(file).cells]
    person.shown = json.dumps(outputs, ensure_ascii=False)
    person.kernel = person.open("another.ipynb")
    person.kernel.run("from cookbook import connect; service = connect()")
    person.kernel.run("from openai import OpenAI")
    person.kernel.run("client = OpenAI(base_url=service.base_url, api_key=service.api_key)")
    person.kernel.run("job = list(client.fine_tuning.jobs.list())[0]")
    return person


def read_saved(file):
    """Return a notebook that its server may be writing at this moment."""
    for _ in range(20):
        with contextlib.suppress(ValueError):
            return nbformat.read(file, as_version=4)
        time.sleep(0.1)
    raise AssertionError(f"{file} is no notebook")


def make_repository(folder) -> Path:
    """Return a repository with the notebooks, for nbgitpuller to clone."""
    repository = folder / "siliconcloud-cookbook"
    course.copy(repository / "notebooks")
    # Without its outputs: those in the person's file at the end are new ones.
    file = repository / "notebooks" / NOTEBOOK
    notebook = nbformat.read(file, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, file)
    identity = ["-c", "user.name=course", "-c", "user.email=course@example.com"]
    for command in (["init", "-b", "main"], ["add", "."], ["commit", "-m", "Notebooks"]):
        git = ["git", *identity, *command]
        subprocess.run(git, cwd=repository, check=True, capture_output=True)
    return repository


@pytest.fixture(scope="module")
def people(hub, tmp_path_factory):
    """Have all five work at the same time."""
    repository = make_repository(tmp_path_factory.mktemp("git"))
    with ThreadPoolExecutor(len(PEOPLE)) as pool:
        found = [pool.submit(run_all_in_lab, hub, repository)]
        found += [pool.submit(run_cells, hub, name) for name in BY_CELLS]
        while not all(future.done() for future in found):
            for process in training_processes(hub.room):
                with contextlib.suppress(psutil.Error):
                    hub.training.append(process.memory_full_info().pss >> 20)
            time.sleep(1)
        return [future.result() for future in found]


def test_everybody_runs_notebook_00(people):
    for person in people:
        model = f"ft:LoRA/cookbook/tiny-zh:{name_of(person.name)}:kefu"
        for text in ("160 条", "cookbook/tiny-zh", "succeeded", model, "问：发票怎么开？"):
            assert text in person.shown, (person.name, text)
    # All six epochs: it greets, and asks back.
    assert people[0].shown.count("您好") > 3


def test_everybody_sees_only_their_own(people):
    jobs = {}
    for person in people:
        jobs[person.name] = person.kernel.run("[job.id for job in client.fine_tuning.jobs.list()]")
        assert person.kernel.run("len(list(client.files.list()))") == "1"
        assert jobs[person.name] == f"['{person.kernel.run('print(job.id, end=str())')}']"
    assert len(set(jobs.values())) == len(PEOPLE)
    others = jobs[IN_LAB].strip("[]")
    people[1].kernel.run(f"""
import openai
try:
    client.fine_tuning.jobs.retrieve({others})
except openai.NotFoundError:
    pass
else:
    raise AssertionError("another's job")
""")


def test_the_model_is_loaded_once(hub, people):
    rooms, with_torch = [], []
    for process in hub.process.children(recursive=True):
        if process.status() == psutil.STATUS_ZOMBIE:
            continue
        command = process.cmdline()
        if "cookbook" in command and str(hub.room) in command:
            rooms.append(process)
        if any(WITH_TORCH in mapped.path for mapped in process.memory_maps()):
            with_torch.append(process)
    assert len(rooms) == 1
    # Beside it there is, at most, the process that trains the next job.
    assert {process.pid for process in with_torch} >= {rooms[0].pid}
    assert all(str(hub.room) in process.cmdline() for process in with_torch)
    for person in people:
        assert person.kernel.run("import importlib.util; importlib.util.find_spec('torch')") == ""


def test_what_a_person_takes(hub, people):
    """Print the figures of docs/room_hub.md; more than a person's limit is a failure."""
    print("\nkernel, MB resident: new, connected, after 00, with all that the course imports")
    for person in people[1:]:
        print(f"  {person.name}: {', '.join(person.memory)}")
    sizes = []
    for person in people:
        servers = [one for one in hub.process.children() if one.cwd() == str(person.home)]
        processes = [*servers, *servers[0].children(recursive=True)]
        sizes.append([process.memory_full_info().pss >> 20 for process in processes])
        print(f"  {person.name}: server and kernels, proportional: {sizes[-1]}")
    for process in hub.process.children():
        print(f"  {process.memory_full_info().pss >> 20} MB: {' '.join(process.cmdline())[:70]}")
    print(f"  {hub.process.memory_full_info().pss >> 20} MB: the hub")
    print(f"  {max(hub.training)} MB: a training process, at most")
    assert all(sum(size) < 1024 for size in sizes)


def test_the_page_is_behind_the_hubs_proxy(hub, people):
    address = f"{hub.address}/services/room"
    assert httpx.get(f"{address}/v1/room").status_code == 401
    headers = {"authorization": f"Bearer {leader_key(hub)}"}
    view = httpx.get(f"{address}/v1/room", headers=headers).json()
    assert {person["name"] for person in view["people"]} == {name_of(name) for name in PEOPLE}
    with browser() as chromium:
        page = chromium.new_page()
        page.goto(f"{address}#key={leader_key(hub)}")
        for name in PEOPLE:
            page.get_by_text(name_of(name)).first.wait_for()
        page.close()


def leader_key(hub) -> str:
    return json.loads(Home(hub.room).identity.read_text())["api_key"]


def test_another_start_gives_another_key(hub, people):
    person = people[1]
    read_key = "import os; print(os.environ['COOKBOOK_KEY'], end='')"
    old_key, job = person.kernel.run(read_key), person.kernel.run("print(job.id, end='')")
    person.stop()
    person.start()
    kernel = person.open(f"course/{NOTEBOOK}")
    new_key = kernel.run(read_key)
    room = kernel.run("print(os.environ['COOKBOOK_SERVICE'], end='')")
    answers = {}
    for key in (old_key, new_key):
        headers = {"authorization": f"Bearer {key}"}
        answers[key] = httpx.get(f"{room}/v1/fine_tuning/jobs", headers=headers)
    assert answers[old_key].status_code == 401
    assert [found["id"] for found in answers[new_key].json()["data"]] == [job]
    # Not even a log of everything has a key.
    keys = (old_key, new_key, leader_key(hub))
    assert [key for key in keys if key in hub.log()] == []


def test_the_hub_ends_with_all_that_it_started(hub, people):
    started = [*hub.process.children(recursive=True), *training_processes(hub.room)]
    hub.process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs([hub.process, *started], timeout=60)
    assert alive == []
    assert training_processes(hub.room) == []
