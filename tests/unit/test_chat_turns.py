from collections import Counter
from dataclasses import dataclass

from cookbook.service.chat_turns import next_up


@dataclass(frozen=True)
class Asked:
    person: str
    number: int = 0
    background: bool = False


def asked(person, n):
    return [Asked(person, number) for number in range(n)]


def start(waiting, under_way=(), rows=16, reserve=4):
    return next_up(waiting, under_way, rows=rows, reserve=reserve)


def rows_of(answers):
    return Counter(answer.person for answer in answers)


def test_whoever_is_alone_has_the_whole_batch_in_the_order_they_asked():
    waiting = asked("zhao", 20)
    assert start(waiting) == waiting[:16]


def test_two_who_ask_at_once_have_half_of_the_batch_each_whoever_was_first():
    assert rows_of(start(asked("zhao", 60) + asked("qian", 60))) == {"zhao": 8, "qian": 8}


def test_what_one_leaves_free_the_others_have():
    assert rows_of(start(asked("zhao", 60) + asked("qian", 3))) == {"zhao": 13, "qian": 3}


def test_whoever_has_fewest_under_way_starts_first_then_who_has_waited_longest():
    under_way = [Asked("zhao"), Asked("zhao"), Asked("qian")]
    waiting = [Asked("zhao"), Asked("li"), Asked("qian"), Asked("sun"), Asked("li", 1)]
    started = start(waiting, under_way, rows=7)
    assert [answer.person for answer in started] == ["li", "sun", "qian", "li"]


def test_a_full_batch_has_a_few_rows_in_reserve_for_people_without_any():
    full = asked("zhao", 16)
    waiting = asked("zhao", 48) + asked("qian", 8) + asked("sun", 1)
    assert start(waiting, full) == [Asked("qian"), Asked("sun")]


def test_the_reserve_has_an_end():
    crowd = [Asked(f"p{number}") for number in range(10)]
    assert start(crowd, asked("zhao", 16)) == crowd[:4]
    assert start(crowd[4:], asked("zhao", 16) + crowd[:4]) == []


def test_nobody_is_given_more_than_half_while_somebody_else_waits():
    under_way = asked("zhao", 12)
    waiting = asked("zhao", 48) + asked("qian", 10)
    assert rows_of(start(waiting, under_way)) == {"qian": 4}


def test_of_thirty_who_go_on_asking_all_are_answered_equally_often():
    waiting = [Asked(f"p{number}") for number in range(30)]
    served = Counter()
    for _ in range(15):
        started = start(waiting)
        served.update(rows_of(started))
        # Whoever has an answer asks again, and waits behind the others.
        waiting = [answer for answer in waiting if answer not in started] + started
    assert set(served.values()) == {10}


# In the background


def behind(person, n):
    return [Asked(person, number, background=True) for number in range(n)]


def test_answers_in_the_background_have_at_most_half_of_the_rows():
    assert start(behind("zhao", 60)) == behind("zhao", 8)
    assert start(behind("zhao", 60), behind("qian", 5)) == behind("zhao", 3)
    assert start(behind("zhao", 60), behind("qian", 8)) == []


def test_nothing_starts_in_the_background_while_another_answer_waits():
    mine = asked("zhao", 1)
    assert start(behind("qian", 20) + mine) == mine
    # Even where that one finds no room.
    assert start(behind("qian", 20) + mine, asked("zhao", 20)) == []


def test_what_is_asked_leaves_only_the_free_rows_to_the_background():
    assert len(start(behind("zhao", 20), asked("qian", 11))) == 5
    assert start(behind("zhao", 20), asked("qian", 16)) == []


def test_batches_of_several_people_share_their_half():
    assert rows_of(start(behind("zhao", 20) + behind("qian", 20))) == {"zhao": 4, "qian": 4}


def test_a_batch_does_not_count_where_its_owner_asks():
    # Who has a batch under way has no answer of their own yet.
    under_way = behind("zhao", 8) + asked("qian", 7)
    assert start(asked("qian", 9) + asked("zhao", 1), under_way) == [Asked("zhao")]
    full = behind("zhao", 8) + asked("qian", 8)
    assert start(asked("zhao", 1), full) == [Asked("zhao")]
