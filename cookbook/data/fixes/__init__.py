"""Fix single rows, as far as nothing has to be guessed.

    rows.fixed_rows(reading, asked, rows_left)      the rows that can be trained on once fixed
    finish.finish(reading, rows_left)               the same, as the result of a conversion

`rows` fixes the order of the messages, `message` a single one.
"""
