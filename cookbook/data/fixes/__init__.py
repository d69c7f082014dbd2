"""Fix single rows and their messages, as far as nothing has to be guessed."""
