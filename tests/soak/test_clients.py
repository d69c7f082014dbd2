"""The clients that people use, and two suites of others, against a real service."""

import os

import clients_table
import pytest
from clients_table import ROOT, Result

if not clients_table.PYTHON.exists() and "CI" not in os.environ:
    pytest.skip("the clients are not installed: run `make soak`", allow_module_level=True)


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return clients_table.measure()


def test_everything_works_or_is_refused_by_name(results):
    assert {result.name: result.unexpected for result in results if result.unexpected} == {}


def test_each_client_and_suite_works_at_all(results):
    assert len(results) > 10
    assert all(result.works for result in results)


def test_the_table_of_the_documentation_is_what_was_seen(results):
    document = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert clients_table.written(document) == clients_table.table(results)
