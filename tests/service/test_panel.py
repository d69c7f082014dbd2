"""The panel beside a service that really runs."""

import pytest

from cookbook.panel import ParameterPanel
from cookbook.paths import DATA

ROWS = DATA / "zhishuoxinyu" / "train_tiny.jsonl"


def test_the_bases_are_those_of_the_service_and_the_rate_is_the_one_really_used(client, service):
    panel = ParameterPanel(client=client, rows_file=ROWS)
    assert panel.task.base_model.value == service.base_model
    assert not [base for base in panel.task.base_model.options if base.startswith("ft:")]
    assert panel.plan.learning_rate_used == pytest.approx(0.0017)
