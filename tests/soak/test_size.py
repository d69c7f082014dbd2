"""A store of 10,000 jobs and 1,000,000 events answers about as fast as a small one.

pytest -s tests/soak/test_size.py      with the times
"""

import statistics
import time

import pytest
from fastapi.testclient import TestClient

from cookbook.bases import Base
from cookbook.paths import Home
from cookbook.service.app import make_app
from cookbook.service.store import Store

SMALL, LARGE = 200, 10_000  # jobs, each with a hundred events
# With the names of the columns: a later release has more of them.
FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {jobs})
INSERT INTO jobs (id, status, requested_state, created_at, finished_at, base, training_file,
        validation_split, suffix, seed, hyperparameters, model, trained_tokens)
    SELECT 'ftjob-' || i, 'succeeded', 'run', i, i, 'tiny', 'file-' || i,
        0.1, 't', 42, '{{"n_epochs": 3}}', 'ft:' || i, 9 FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100 * {jobs})
INSERT INTO events (job, created_at, level, type, message, data, step)
    SELECT 'ftjob-' || (1 + i % {jobs}), i, 'info', 'metrics', 'Step ' || i,
        '{{"step": ' || i || '}}', i FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {jobs})
INSERT INTO files (id, filename, purpose, bytes, created_at, content)
    SELECT 'file-' || i, 'a.jsonl', 'fine-tune', 1000, i, randomblob(1000) FROM n;
INSERT INTO models (id, job, base, created_at, step, folder, metrics)
    SELECT 'ft:' || number, id, 'tiny', 1, 9, 'f' || number, '{{}}' FROM jobs
    WHERE number <= 200;
"""
PATHS = [
    "fine_tuning/jobs",
    "fine_tuning/jobs?limit=100&after=ftjob-150",
    "fine_tuning/jobs/ftjob-77",
    "fine_tuning/jobs/ftjob-77/events?limit=100",
    "fine_tuning/jobs/ftjob-77/events?after=ftevent-{event}",
    "fine_tuning/jobs/ftjob-77/checkpoints",
    "files?limit=100",
    "files?limit=100&after=file-150",
    "models",
]
GROWTH = 5  # at most; fifty times the rows read through would be near fifty


def filled(home, jobs: int) -> TestClient:
    """Return a client of a service whose store has so many jobs."""
    store = Store(home / "service.db")
    for statement in FILL.format(jobs=jobs).split(";"):
        if statement.strip():
            store._database.rows(statement)
    bases = [Base("tiny", "nowhere")]
    app = make_app(store, home=Home(home), bases=bases, submit=None, api_key="test")
    return TestClient(app, headers={"authorization": "Bearer test"})


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    clients = {jobs: filled(tmp_path_factory.mktemp("store"), jobs) for jobs in (SMALL, LARGE)}
    with clients[SMALL], clients[LARGE]:
        yield clients


@pytest.mark.parametrize("path", PATHS)
def test_a_page_takes_about_as_long_however_large_the_store_is(stores, path):
    times: dict[int, list[float]] = {jobs: [] for jobs in stores}
    # In turns, so that what else the machine does falls on both.
    for _ in range(15):
        for jobs, http in stores.items():
            url = f"/v1/{path.format(event=76 + 50 * jobs)}"
            start = time.perf_counter()
            assert http.get(url).status_code == 200
            times[jobs].append(time.perf_counter() - start)
    small, large = (1000 * statistics.median(times[jobs]) for jobs in (SMALL, LARGE))
    print(f"\n{path}: {small:.1f} ms, large {large:.1f} ms")
    # The fastest of each, which the machine's other work disturbs least.
    assert min(times[LARGE]) < GROWTH * min(times[SMALL])
