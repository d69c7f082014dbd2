"""Name the folder of an imported model, and write down what the database has of it.

    folder_name(letters)        below `models`: "imported-<20 letters>", the last part of its name
    record(…)                   for `cookbook-model.json` in there, from which it is found again
    recorded(folder, model)     what it says of the model

A model of a job has that job's name in its folder's; one from elsewhere has no job.
"""

import json
import re
from pathlib import Path
from typing import Any

from cookbook.adapter_settings import RECORD
from cookbook.exports.facts import Facts

NO_JOB = ""
"""In the place of a job's id, of a model that no job here has trained."""

FOLDER = re.compile(r"imported-([a-z]{20})")


def folder_name(letters: str) -> str:
    """Return the name of an imported model's folder; `letters` end the model's own name."""
    return f"imported-{letters}"


def record(facts: Facts, *, owner: str, shared: bool = False) -> dict[str, Any]:
    """Return what the folder tells of the model, for JSON."""
    return facts.to_dict() | {"job": NO_JOB, "owner": owner, "shared": shared}


def recorded(folder: Path, model: str) -> Facts | None:
    """Return what an imported model's folder tells of it; None where it is not this model's."""
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        facts = Facts.of_dict(found) if is_own(found, folder.name) else None
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return facts if facts and facts.model == model else None


def is_own(found: dict[str, Any], folder: str) -> bool:
    """Return whether a record was written for this folder, and not copied here from another."""
    name, letters = str(found.get("model")), FOLDER.fullmatch(folder)
    if letters is None or found.get("job") != NO_JOB:
        return False
    return name.startswith("ft:") and name.endswith(f":{letters[1]}")
