"""Widgets that choose everything the console's form asks for: task, base, data, hyperparameters.

panel = ParameterPanel()
panel                     shows it
panel.value               the same Hyperparameters as written by hand

parameter_panel           the panel as a whole
task, field               its upper part; one number
training_file             the files to choose from, their check, uploads
consequences, script      what follows from a choice; the Python to paste
templates, panel.css      how it looks
"""

from cookbook.panel.parameter_panel import ParameterPanel

__all__ = ["ParameterPanel"]
