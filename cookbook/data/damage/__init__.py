"""The kinds of damage that a text can have, a module each; `text_damage.py` unites them."""
