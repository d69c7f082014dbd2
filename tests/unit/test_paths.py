from cookbook import paths


def test_a_cell_that_changes_the_folder_does_not_change_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("COOKBOOK_HOME", raising=False)
    monkeypatch.setattr(paths, "in_checkout", lambda: False)  # as from a wheel
    paths._first_folder.cache_clear()
    monkeypatch.chdir(tmp_path)
    first = paths.home()
    monkeypatch.chdir("/")
    assert paths.home() == first == tmp_path / ".cookbook"
    paths._first_folder.cache_clear()
