"""Take a tuned model home: as files that other programs run, with a model card.

facts       what is known of a model
"""

from cookbook.exports.facts import Facts

__all__ = ["Facts"]
