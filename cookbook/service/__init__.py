"""The embedded service: an OpenAI-compatible server that really trains LoRA adapters on the reader's machine.

store (SQLite) ← api (HTTP) · supervisor (queue) · worker (one process a job) → train (torch); chat (torch) answers,
with decode and adapters. `__main__` wires them. Nothing here is imported by `cookbook/*.py`; they talk to it over HTTP.
"""
