"""Write the model card that goes with an adapter: the README.md of its folder.

What it says is in `cookbook/exports/card.py`, which writes the cards of exports, too. It is in the
language of whoever created the job.
"""

import dataclasses
import time

from cookbook.bases import Base
from cookbook.exports.calls import Files
from cookbook.exports.card import card
from cookbook.i18n import in_language
from cookbook.service import events
from cookbook.service.events import Checkpoint, Finished
from cookbook.service.model_facts import of_job
from cookbook.service.store import Job, Store


def model_card(
    store: Store,
    job: Job,
    base: Base,
    event: Checkpoint | Finished,
    *,
    trained_by: str | None = None,
) -> str:
    """Return the card of the adapter that this event is about, as Markdown.

    `trained_by` is the equal job whose log tells of the training, where this one took it over.
    """
    facts = of_job(
        store,
        job,
        event.step,
        model=events.model_id(event, job.model),
        created_at=int(time.time()),
        losses=events.losses(event),
        trained_by=trained_by,
    )
    titled = dataclasses.replace(facts, title=job.suffix or job.id)
    rank = int(job.hyperparameters.get("lora_rank", 0))
    with in_language(job.language):
        return card(titled, base, "peft", Files(rank=rank))
