"""Whose turn it is: the pure order, and the places that the store, the API and `status` show."""

import random
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import support

from cookbook.job_states import queued
from cookbook.jobs.view import JobView, StateLines
from cookbook.jobs.watch import _Terminal
from cookbook.paths import Home
from cookbook.service import status
from cookbook.service.events import Started, Step
from cookbook.service.store import Turn
from cookbook.service.supervisor import Supervisor
from cookbook.service.turns import HOUR, Places, followers, in_turn, queue


@dataclass(frozen=True)
class FakeJob:
    number: int
    owner: str = "local"
    status: str = "queued"
    requested_state: str = "run"
    finished_at: int | None = None
    fingerprint: str | None = None

    @property
    def id(self):
        return f"{self.owner}{self.number}"


def jobs_of(owners, **fields):
    """Return a job for each letter, in this order of arrival."""
    return [FakeJob(number, owner, **fields) for number, owner in enumerate(owners, 1)]


def owners(order):
    return "".join(job.owner for job in order)


def test_jobs_of_one_person_run_in_the_order_they_came():
    jobs = jobs_of("AAAA")
    assert in_turn(reversed(jobs), set()) == jobs
    assert in_turn(jobs, {"A1"}, [Turn("A0", "A", 99.0, True)]) == jobs[1:]


def test_those_who_come_after_a_flood_are_next():
    jobs = jobs_of("AAAAAABC")
    assert owners(in_turn(jobs, {"A1"})) == "BCAAAAA"
    # Nobody has trained yet: the oldest job is first, then it is the others' turn.
    assert owners(in_turn(jobs, set())) == "ABCAAAAA"


def test_people_take_turns_round_by_round():
    assert owners(in_turn(jobs_of("AAABBBCC"), set())) == "ABCABCAB"
    assert owners(in_turn(jobs_of("AAABBBCC"), {"A1", "A2"})) == "BCBCAB"


def test_an_interrupted_job_goes_first_and_is_a_turn_of_its_owner():
    jobs = [*jobs_of("BBA"), FakeJob(4, "B", status="running")]
    assert [job.id for job in in_turn(jobs, set())] == ["B4", "A3", "B1", "B2"]
    # It is the same turn where it is known already.
    trained = [Turn("B4", "B", 3.0, False)]
    assert [job.id for job in in_turn(jobs, set(), trained)] == ["B4", "A3", "B1", "B2"]


def test_paused_jobs_and_those_that_train_do_not_wait():
    jobs = [*jobs_of("AB"), FakeJob(3, "C", requested_state="pause")]
    assert [job.id for job in in_turn(jobs, {"A1"})] == ["B2"]


def test_whoever_has_had_a_turn_within_the_hour_comes_after_those_who_have_had_none():
    trained = [Turn("A0", "A", 30.0, True), Turn("B0", "B", 30.0, True)]
    assert owners(in_turn(jobs_of("AABC"), set(), trained)) == "CABA"


def test_a_long_training_is_as_many_turns_as_the_usual_ones_that_fit_into_it():
    usual = [Turn(f"{owner}0", owner, 30.0, True) for owner in "BCD"]
    long = Turn("A0", "A", 95.0, True)
    assert owners(in_turn(jobs_of("ABB"), set(), [*usual, long])) == "BBA"
    # A little longer is no more.
    slow = Turn("A0", "A", 40.0, True)
    assert owners(in_turn(jobs_of("ABB"), set(), [*usual, slow])) == "ABB"


class Simulation:
    """A queue without a service: jobs come at their times and take as long as `seconds` says."""

    def __init__(self, arrivals, max_running, seconds):
        self.arrivals, self.max_running, self.seconds = list(arrivals), max_running, seconds
        self.clock, self.jobs, self.trained = 0.0, [], []
        self.ends = {}  # of those that train: job -> (its end, how long it takes)
        self.started = []

    def order(self):
        return in_turn(self.jobs, {job.id for job in self.ends}, self.trained)

    def run(self, before_start=lambda job: None):
        while self.arrivals or self.jobs:
            while self.arrivals and self.arrivals[0][0] <= self.clock:
                self.jobs.append(self.arrivals.pop(0)[1])
            while len(self.ends) < self.max_running and (order := self.order()):
                before_start(order[0])
                self.started.append(order[0])
                takes = self.seconds(order[0])
                self.ends[order[0]] = (self.clock + takes, takes)
            coming = [at for at, _ in self.arrivals[:1]]
            self.clock = min([end for end, _ in self.ends.values()] + coming)
            for job, (end, takes) in list(self.ends.items()):
                if end <= self.clock:
                    del self.ends[job]
                    self.jobs.remove(job)
                    self.trained.append(Turn(job.id, job.owner, takes, True))
        return self.started


@pytest.mark.parametrize("seed", range(20))
def test_a_place_that_is_shown_is_where_the_job_starts(seed):
    rng = random.Random(seed)
    jobs = jobs_of(rng.choices("ABCDE", k=15))
    seconds = {job: rng.uniform(25, 34) for job in jobs}
    simulation = Simulation([(0, job) for job in jobs], rng.randint(1, 2), seconds.__getitem__)
    shown = []

    def note(_):
        shown.append((len(simulation.started), simulation.order()))

    started = simulation.run(note)
    assert len(shown) == len(jobs)
    for already, order in shown:
        assert started[already:] == order


@pytest.mark.parametrize("longest", [30, 300])
@pytest.mark.parametrize("seed", range(20))
def test_nobody_starves_however_jobs_come(seed, longest):
    rng = random.Random(seed)
    times = sorted(rng.uniform(0, 900) for _ in range(60))
    jobs = jobs_of(rng.choices("ABCDEF", weights=[9, 3, 2, 1, 1, 1], k=60))
    arrivals = zip(times, jobs, strict=True)
    simulation = Simulation(arrivals, rng.randint(1, 3), lambda _: rng.uniform(22, longest))

    def check(job):
        """Whoever waits has had as many trainings as the one whose job starts, or long ones."""
        under_way = [other.owner for other in simulation.ends]
        had = [turn.owner for turn in simulation.trained] + under_way
        long = {turn.owner for turn in simulation.trained if turn.seconds > 30}
        for other in simulation.order():
            assert other.owner in long or had.count(job.owner) <= had.count(other.owner)

    assert sorted(simulation.run(check), key=lambda job: job.number) == jobs


# Equal jobs


def test_of_equal_jobs_the_first_in_the_order_trains_and_the_others_follow():
    same = [FakeJob(1, "A", fingerprint="x"), FakeJob(2, "A", fingerprint="x")]
    other = FakeJob(3, "B", fingerprint="y")
    unknown = [FakeJob(4, "C"), FakeJob(5, "C")]
    late = FakeJob(6, "D", fingerprint="x")
    order = in_turn([*same, other, *unknown, late], set())
    assert followers(order, []) == {"A2": "A1", "D6": "A1"}
    assert followers(order, [FakeJob(9, "E", fingerprint="x")]) == {
        "A1": "E9",
        "A2": "E9",
        "D6": "E9",
    }


def test_one_that_follows_waits_for_its_equal_alone_and_is_before_nobody():
    jobs = [
        FakeJob(1, "A", status="running", fingerprint="x"),
        FakeJob(2, "B", fingerprint="y"),
        FakeJob(3, "C", fingerprint="x"),
        FakeJob(4, "D", fingerprint="y"),
        FakeJob(5, "E", fingerprint="z"),
    ]
    waiting_for = {"C3": "twin", "D4": "twin"}
    found = queue(jobs, [], waiting_for)
    assert owners(found.order) == "BE"
    assert found.ahead == {"B2": 1, "E5": 2, "C3": 1, "D4": 2}
    # Without a supervisor that takes anything over, each trains itself.
    assert queue(jobs, [], {}).ahead == {"B2": 1, "C3": 2, "D4": 3, "E5": 4}
    # The one whose turn came first trains, although its log says that it has waited.
    assert queue(jobs[3:4], [], waiting_for).ahead == {"D4": 0}


def test_one_that_waits_for_its_base_is_before_nobody_and_has_no_place():
    jobs = jobs_of("ABC")
    assert queue(jobs, [], {"A1": "no_base"}).ahead == {"B2": 0, "C3": 1}


# The store


def add_job(store, state="queued", **fields):
    job = support.add_job(store, **fields)
    store.advance(job.id, state, state)
    return store.job(job.id)


def train(store, job, seconds, speed=100.0, tokens=None, n_workers=1):
    """Let a job have trained for so long: one step, `seconds` after the start."""
    store.record(job, Started(2, 1, 1, 0.5, 1, 1, 0.1, None, n_workers=n_workers))
    tokens = seconds * speed if tokens is None else tokens
    store.record(job, Step(1, 2, 0.5, 1.0, None, 0.1, tokens, speed, 1.0))
    with store._database.write() as db:
        sql = "UPDATE events SET created_at = created_at - ? WHERE job = ? AND step = 0"
        db.execute(sql, (seconds, job.id))


def test_the_store_tells_who_has_trained_for_how_long(store):
    ended, running = (add_job(store.of(name), "running") for name in ("Ann", "Bob"))
    add_job(store.of("Bob"))
    train(store, ended, 30)
    store.advance(ended.id, "failed", "no")
    train(store, running, 10)
    # Nobody's narrowed view changes it.
    turns = store.of("Eve").turns(since=0)
    assert {(turn.job, turn.owner, turn.has_ended) for turn in turns} == {
        (ended.id, "Ann", True),
        (running.id, "Bob", False),
    }
    assert [turn.seconds for turn in turns if turn.has_ended] == [pytest.approx(30, abs=2)]
    with store._database.write() as db:
        db.execute("UPDATE jobs SET finished_at = finished_at - ?", (HOUR + 1,))
    since = store.job(ended.id).finished_at + 1
    assert [turn.job for turn in store.turns(since)] == [running.id]


def test_a_pause_is_no_training(store):
    job = add_job(store, "running")
    train(store, job, seconds=600, tokens=500, speed=100.0)
    assert [turn.seconds for turn in store.turns(since=0)] == [5.0]


def test_four_workers_take_four_times_as_much(store):
    job = add_job(store, "running")
    train(store, job, seconds=600, tokens=500, speed=100.0, n_workers=4)
    assert [turn.seconds for turn in store.turns(since=0)] == [20.0]


def test_a_job_tells_its_place_among_everybodys_jobs(store):
    running = add_job(store.of("Ann"), "running")
    flood = [add_job(store.of("Ann")) for _ in range(3)]
    paused = add_job(store.of("Bob"))
    store.request_state(paused.id, "pause", "wait")
    bob = add_job(store.of("Bob"), "validating_files")
    places = Places(store.of("Bob"))
    assert places.ahead(bob) == 1
    assert [places.ahead(job) for job in flood] == [2, 3, 4]
    assert places.ahead(running) is None and places.ahead(store.job(paused.id)) is None
    store.advance(bob.id, "cancelled", "no")
    assert Places(store).ahead(store.job(bob.id)) is None


def test_the_log_of_a_new_job_tells_the_same_place(store, tmp_path):
    file = store.add_file("a.jsonl", "fine-tune", b"{}")
    add_job(store.of("Ann"), "running")
    for _ in range(3):
        add_job(store.of("Ann"))
    job = support.add_job(store.of("Bob"), training_file=file.id)
    Supervisor(store, Home(tmp_path), max_running=0)._tick()
    assert store.events(job.id, limit=1)[0].message == "排队中，前面还有 1 个任务"


def test_status_names_owners_in_a_room_and_shows_the_order_of_the_queue(store):
    for name in ("one", "two"):
        add_job(store.of("Ann"), suffix=name)
    add_job(store.of("Bob"), suffix="three")
    add_job(store.of("Eve"), "running", suffix="four")
    paused = add_job(store.of("Bob"), suffix="five")
    store.request_state(paused.id, "pause", "wait")
    lines = [line.split()[1:4] for line in status.jobs(store)]
    assert lines == [
        ["running", "Eve", "four"],
        ["queued", "Ann", "one"],
        ["queued", "Bob", "three"],
        ["queued", "Ann", "two"],
        ["paused", "Bob", "five"],
    ]


def test_the_sentence_knows_one_from_many(monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", "en")
    assert [queued(n) for n in range(3)] == [
        "Queued",
        "Queued, 1 job ahead",
        "Queued, 2 jobs ahead",
    ]


# What a reader sees


def seen(ahead, status="queued"):
    job = SimpleNamespace(
        id="j", status=status, user_provided_suffix=None, error=None, jobs_ahead=ahead
    )
    return JobView(job)


def test_a_view_shows_the_place_as_it_is_now():
    assert "queued · 排队中，前面还有 2 个任务" in seen(2).summary
    assert "queued · 排队中，前面还有 2 个任务" in StateLines([seen(2)])._repr_html_()
    for view in (seen(0), seen(None, "running"), JobView(SimpleNamespace(id="j", status="queued"))):
        assert view.place == ""


def test_a_terminal_shows_each_place_once(capsys):
    screen = _Terminal()
    for ahead in (3, 3, 2, 2, 0, None):
        screen.show([seen(ahead)], "")
    told = capsys.readouterr().out.splitlines()
    assert [line.split(" · ")[-1] for line in told] == [
        "排队中，前面还有 3 个任务",
        "排队中，前面还有 2 个任务",
    ]
