"""Write the names of columns as a spreadsheet does."""


def letters(column: int) -> str:
    """Return the letters of a column that is counted from 0: A, Z, AA."""
    name = ""
    column += 1
    while column:
        # There is no digit 0: after Z comes AA.
        column, rest = divmod(column - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def number_of(letters: str) -> int:
    """Return the number of a column, counted from 1: A is 1, AA is 27."""
    number = 0
    for letter in letters:
        digit = ord(letter) - ord("A") + 1
        number = 26 * number + digit
    return number
