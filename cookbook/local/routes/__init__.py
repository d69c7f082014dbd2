"""OpenAI's routes, one resource a file. Each `router(...)` gets what it needs; none knows torch or SQL."""
