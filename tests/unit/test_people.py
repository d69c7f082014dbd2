"""People, their keys, and what of them is kept where."""

import asyncio
import sqlite3
import time

import pytest

from cookbook.errors import ArgumentError, PersonNotFound
from cookbook.service.callers import LEADER, Caller, Callers
from cookbook.service.presence import Presence, act_of
from cookbook.siliconcloud import identifier


def caller_of(callers, key):
    return asyncio.run(callers.of(f"Bearer {key}".encode()))


def test_a_key_is_its_persons_and_nowhere_to_be_read(store, tmp_path):
    key = store.add_person("李雷")
    assert store.person(key).name == "李雷"
    # As somebody may type it from paper.
    assert store.person(key.upper()).name == "李雷"
    assert store.person(key[:-1]) is None
    with sqlite3.connect(tmp_path / "service.db") as db:
        assert key not in "\n".join(db.iterdump())
    db.close()


def test_a_renewed_key_takes_the_old_ones_place(store):
    old = store.add_person("p01")
    new = store.renew_key("p01")
    assert store.person(old) is None
    assert store.person(new).name == "p01"
    with pytest.raises(PersonNotFound, match="p02"):
        store.renew_key("p02")


def test_somebody_who_is_removed_leaves_their_things_to_themselves(store):
    key = store.add_person("p01")
    file = store.of("p01").add_file("a.jsonl", "fine-tune", b"{}")
    store.remove_person("p01")
    assert store.person(key) is None
    assert store.file(file.id).owner == "p01"
    store.add_person("p01")
    assert store.of("p01").file(file.id)


@pytest.mark.parametrize("name", ["local", "LOCAL", "", "a:b", "a/b", "a b", "a\n", "x" * 41])
def test_a_name_that_would_be_another_part_of_an_identifier_is_refused(store, name):
    with pytest.raises(ArgumentError, match=r"名字"):
        store.add_person(name)
    assert store.people() == []


@pytest.mark.parametrize("taken, name", [("Ann", "ann"), ("Жанна", "ЖАННА"), ("李雷", "李雷")])
def test_a_name_is_there_once_whatever_its_case(store, taken, name):
    store.add_person(taken)
    with pytest.raises(ArgumentError, match="已经有"):
        store.add_person(name)


def test_somebody_is_found_whatever_the_case_of_their_name(store):
    store.add_person("Жанна")
    key = store.renew_key("ЖАННА")
    assert store.person(key).name == "Жанна"
    store.remove_person("жанна")
    assert store.people() == []


@pytest.mark.parametrize("name", ["李雷", "Bo_b.1-x", "Жанна", "阿依古丽"])
def test_an_identifier_names_its_tenant_in_any_script(name):
    parts = identifier(f"ft:LoRA/cookbook/tiny-zh:{name}:task:abcdefghijklmnopqrst-ckpt_step_4")
    assert (parts.base, parts.tenant, parts.step) == ("cookbook/tiny-zh", name, 4)


# Callers


def test_the_services_own_key_is_the_leaders(store):
    callers = Callers("secret", store)
    person = store.add_person("p01")
    assert caller_of(callers, "secret") is LEADER
    assert caller_of(callers, person) == Caller("p01", is_leader=False)
    assert caller_of(callers, "room-aaaa-bbbb-cccc-dddd") is None
    assert caller_of(callers, "") is None


def test_a_key_is_looked_up_once_a_moment_and_then_again(store):
    looked_up = []
    find = store.person
    store.person = lambda key: looked_up.append(key) or find(key)
    callers = Callers("secret", store, known_seconds=0.05)
    key = store.add_person("p01")
    for _ in range(5):
        assert caller_of(callers, key).name == "p01"
    assert looked_up == [key]
    store.remove_person("p01")
    time.sleep(0.06)
    assert caller_of(callers, key) is None


def test_wrong_keys_take_no_memory(store):
    callers = Callers("secret", store)
    for number in range(20):
        caller_of(callers, f"wrong-{number}")
    assert not callers._known


# Presence


@pytest.mark.parametrize(
    "method, path, act",
    [
        ("POST", "/v1/files", "upload"),
        ("POST", "/v1/fine_tuning/jobs", "train"),
        ("GET", "/v1/fine_tuning/jobs/ftjob-x", "watch"),
        ("GET", "/v1/fine_tuning/jobs/ftjob-x/events", "watch"),
        ("POST", "/v1/chat/completions", "ask"),
        ("POST", "/v1/completions", "ask"),
        ("GET", "/v1/models", "read"),
        ("GET", "/v1/models/Qwen/Qwen2.5-7B", "read"),
        ("GET", "/v1/files", "read"),
        ("GET", "/v1/room", None),
        ("DELETE", "/v1/files/file-x", None),
    ],
)
def test_an_act_is_known_by_its_route(method, path, act):
    assert act_of(method, path) == act


def test_presence_is_seen_at_once_and_written_later(store):
    store.add_person("p01")
    presence = Presence(store, every=60)
    presence.note("p01", "connect", "02_train")
    presence.note("p01", "ask")
    presence.note("p01", None)
    seen = presence.up_to_date(store.people()[0])
    assert (seen.notebook, seen.act) == ("02_train", "ask")
    assert time.time() - seen.seen_at < 5
    assert store.people()[0].seen_at is None
    presence.close()
    assert store.people() == [seen]


def test_presence_is_written_by_itself_all_people_at_once(store):
    written = []
    write = store.note_seen
    store.note_seen = lambda seen: written.append(len(seen)) or write(seen)
    presence = Presence(store, every=0.05)
    for number in range(30):
        store.add_person(f"p{number:02}")
        presence.note(f"p{number:02}", "read")
    deadline = time.monotonic() + 5
    while sum(written) < 30 and time.monotonic() < deadline:
        time.sleep(0.01)
    presence.close()
    assert sum(written) == 30
    assert len(written) < 10
    assert all(person.act == "read" for person in store.people())


def test_presence_that_could_not_be_written_is_written_later(store):
    store.add_person("p01")
    presence = Presence(store, every=60)
    write = store.note_seen

    def locked(_):
        raise sqlite3.OperationalError("database is locked")

    store.note_seen = locked
    presence.note("p01", "ask")
    presence.flush()
    store.note_seen = write
    presence.close()
    assert store.people()[0].act == "ask"
