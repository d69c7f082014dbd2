"""The words for a job's state, as OpenAI's API has them."""

TERMINAL = ("succeeded", "failed", "cancelled")
