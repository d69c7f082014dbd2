"""Fixtures of the soak tests: services that run, and one short job that nothing disturbed."""

import pytest
from openai import OpenAI
from support import train_disturbed

from cookbook import connect
from cookbook.connection import stop


@pytest.fixture(scope="session")
def service():
    """Start or find the embedded service on the usual data folder."""
    return connect()


@pytest.fixture
def client(service):
    with OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a data folder of its own, and stop at the end whatever runs on it."""
    folder = tmp_path_factory.mktemp("home")
    yield folder
    stop(folder)


@pytest.fixture(scope="module")
def unbroken(home):
    """Return the short job's result when nothing disturbs it."""
    return train_disturbed(home)
