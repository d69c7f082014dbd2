"""Read what a source holds: a file of any layout, or rows in memory.

read.reading(source)        its entries with their places, and what could not be read
"""

from cookbook.data.reading.reading import MAX_ENTRIES, Reading

__all__ = ["MAX_ENTRIES", "Reading"]
