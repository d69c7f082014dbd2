"""The speed of chat: tokens of the last minutes by the seconds that their passes took."""

import time

from cookbook.service.engine.speed import WINDOW, Speed


def test_the_speed_is_that_of_the_passes_of_the_last_minute(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    speed = Speed()
    assert speed.read() is None
    speed.add(seconds=0.5, tokens=10)
    clock[0] += 10
    for _ in range(4):
        speed.add(seconds=0.25, tokens=20)
    assert speed.read() == 90 / 1.5
    # What came first is too old now.
    clock[0] += WINDOW - 5
    assert speed.read() == 80 / 1.0
    clock[0] += WINDOW
    assert speed.read() is None
