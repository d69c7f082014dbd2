import pytest

from cookbook import connect
from cookbook.errors import KeyMissing, ServiceError


def test_siliconcloud_reads_the_current_key_then_the_older_one(monkeypatch):
    monkeypatch.setenv("SILICONCLOUD_API_KEY", "old")
    assert connect("siliconcloud").api_key == "old"
    monkeypatch.setenv("SILICONFLOW_API_KEY", "new")
    cloud = connect("siliconcloud")
    assert (cloud.api_key, cloud.base_url, cloud.trains_by_api) == (
        "new",
        "https://api.siliconflow.cn/v1",
        False,
    )
    assert "new" not in repr(cloud)


def test_a_missing_key_says_where_to_get_one():
    with pytest.raises(KeyMissing, match="SILICONFLOW_API_KEY"):
        connect("siliconcloud")


def test_the_international_site_is_an_address_away(monkeypatch):
    monkeypatch.setenv("SILICONFLOW_API_KEY", "k")
    monkeypatch.setenv("SILICONFLOW_BASE_URL", "https://api.siliconflow.com/v1")
    assert connect("siliconcloud").base_url == "https://api.siliconflow.com/v1"


def test_an_unknown_service_is_refused():
    with pytest.raises(ValueError, match="siliconcloud"):
        connect("openai")


def test_a_home_that_cannot_be_written_is_explained(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ServiceError, match="COOKBOOK_HOME"):
        connect(home=blocked / "home")


def test_a_key_is_stripped_and_one_that_cannot_be_a_key_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv("SILICONFLOW_API_KEY", " sk-x\n")
    assert connect("siliconcloud").api_key == "sk-x"
    monkeypatch.setenv("SILICONFLOW_API_KEY", "我的 key")
    with pytest.raises(KeyMissing, match="重新复制") as caught:
        connect("siliconcloud")
    assert "我的" not in str(caught.value)


def test_an_address_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("SILICONFLOW_API_KEY", "k")
    monkeypatch.setenv("SILICONFLOW_BASE_URL", "me:x@secret@api.siliconflow.cn")
    with pytest.raises(ServiceError, match="https://") as caught:
        connect("siliconcloud")
    # What may be a password is not repeated.
    assert "api.siliconflow.cn" in str(caught.value) and "secret" not in str(caught.value)
