import pytest

from cookbook.errors import HyperparameterError
from cookbook.panel import ParameterPanel
from cookbook.params import PRESETS, Hyperparameters


def test_the_panel_begins_with_the_standard_preset():
    assert ParameterPanel().value == PRESETS["standard"]


@pytest.mark.parametrize("name", PRESETS)
def test_choosing_a_preset_fills_every_field(name):
    panel = ParameterPanel(Hyperparameters(n_epochs=7))
    panel.preset.value = name
    assert panel.value == PRESETS[name]


def test_changing_a_field_turns_the_preset_to_custom_and_back():
    panel = ParameterPanel()
    panel.controls["n_epochs"].value = 4
    assert panel.preset.value == "custom"
    panel.controls["n_epochs"].value = 3
    assert panel.preset.value == "standard"


def test_a_value_that_learns_nothing_is_refused_in_place():
    panel = ParameterPanel()
    panel.controls["learning_rate"].value = 0
    assert "什么也学不到" in panel.message.value
    with pytest.raises(HyperparameterError):
        _ = panel.value


def test_a_value_out_of_range_cannot_be_set():
    panel = ParameterPanel()
    panel.controls["n_epochs"].value = 99
    assert panel.value.n_epochs == 10
