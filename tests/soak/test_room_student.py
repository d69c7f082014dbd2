"""What a student does in a room, with a real service behind a key of their own."""

import threading
import time

import nbformat
import pytest
from nbclient import NotebookClient
from openai import OpenAI
from support import ROWS

from cookbook import bases, compare, connect, course, jobs, room
from cookbook.connection import stop
from cookbook.errors import ServiceError
from cookbook.paths import Home
from cookbook.service.store import Store


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "leader"
    yield folder
    stop(folder)


def client_of(service):
    return OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0)


def test_a_person_trains_watches_and_asks_while_the_room_comes_and_goes(
    home, tmp_path, monkeypatch
):
    address = connect(home=home).base_url
    store = Store(Home(home).database)
    keys = {name: store.add_person(name) for name in ("李雷", "p02")}
    (tmp_path / "student").mkdir()
    monkeypatch.chdir(tmp_path / "student")
    lines = f"COOKBOOK_SERVICE={address}\nCOOKBOOK_KEY={keys['李雷']}\n"
    (tmp_path / "student" / ".env").write_text(lines)
    monkeypatch.setenv("COOKBOOK_HOME", str(tmp_path / "student" / "data"))
    service = connect()
    assert service.room == "李雷" and service.base_url == address
    with client_of(service) as client, client_of(connect(address, key=keys["p02"])) as other:
        upload = client.files.create(file=("a.jsonl", b"".join(ROWS)), purpose="fine-tune")
        job = client.fine_tuning.jobs.create(
            model=service.base_model, training_file=upload.id, suffix="kefu"
        )

        def come_and_go():
            while not jobs.view(client, job.id).steps:
                time.sleep(0.1)
            stop(home)
            connect(home=home)

        thread = threading.Thread(target=come_and_go)
        thread.start()
        job = jobs.watch(client, job.id, every=0.2)
        thread.join()
        assert job.status == "succeeded" and ":李雷:kefu:" in job.fine_tuned_model
        # The base's card comes from the room's machine.
        assert bases.card(service.base_model, client).machine is not None
        columns = {"tuned": (job.fine_tuned_model, None)}
        answers = compare.ask(client, columns, ["你好"], max_tokens=8)
        assert answers.error.isna().all()
        page = compare.side_by_side(answers).to_html(tmp_path / "student" / "data" / "a.html")
        assert page.is_file()
        # Nobody else sees any of it, until it is shared.
        assert room.view(other).jobs == []
        with pytest.raises(Exception, match="没有模型"):
            other.models.retrieve(job.fine_tuned_model)
        room.share(client, job.fine_tuned_model)
        assert other.models.retrieve(job.fine_tuned_model).id == job.fine_tuned_model
        assert room.view(client).jobs[0]["status"] == "succeeded"
    stop(home)
    with pytest.raises(ServiceError, match="向组织者要现在的地址"):
        connect()


@pytest.mark.parametrize("name", ["00_quickstart", "04_zhishuoxinyu"])
def test_a_notebook_connects_unchanged_beside_its_env_file(home, tmp_path, monkeypatch, name):
    address = connect(home=home).base_url
    key = Store(Home(home).database).add_person("韩梅梅")
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / ".env").write_text(f"COOKBOOK_SERVICE={address}\nCOOKBOOK_KEY={key}\n")
    monkeypatch.setenv("COOKBOOK_HOME", str(folder / "data"))
    notebook = nbformat.read(course.FOLDER / f"{name}.ipynb", as_version=4)
    # Up to the cell that connects; `tests/soak/test_room.py` runs them whole.
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    number = next(i for i, cell in enumerate(code) if "= connect(" in cell.source)
    last = nbformat.v4.new_code_cell("print(service.room, service.base_url)")
    notebook.cells = [*code[: number + 1], last]
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=120, resources=resources).execute()
    assert last.outputs[0].text.strip() == f"韩梅梅 {address}"
    # Nothing was started here, and the key is in no output.
    assert not Home(folder / "data").address.exists()
    assert key not in nbformat.writes(notebook)
