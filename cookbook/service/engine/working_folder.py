"""Name the files in a job's working folder, beside its adapters. Importing this loads no torch."""

STATE = "state.safetensors"
"""The state to resume from."""

DAMAGED = "state.damaged.safetensors"
"""What a state that cannot be read is renamed to; it goes with the job's folder."""
