"""Launch, follow and hand over fine-tuning jobs: guide §2.2–§2.4.

    find                          a job that has done, or is doing, the same already
    StartButton, CancelButton     what one line of Python does, as a button
    watch                         lines and a picture that follow running jobs
    view                          a job and its events as they are now
    as_trained                    a training row as the model reads it
    console_sheet                 what to type into SiliconCloud's form
    identifier, verify, remembered, IdentifierBox      the model name that its console gives
    explain                       a failed request in one sentence

Each is in the module of its name; the buttons are in `buttons`, all that concerns the model name is
in `identifier`, `as_trained` in `loss_mask`. Helpers take the `openai` client first and return its
own objects. In Jupyter they show themselves.
"""

from cookbook.errors import IdentifierError, JobNotFound
from cookbook.explain import explain
from cookbook.jobs.buttons import CancelButton, StartButton
from cookbook.jobs.console import console_sheet
from cookbook.jobs.find import find
from cookbook.jobs.identifier import IdentifierBox, remembered, verify
from cookbook.jobs.loss_mask import as_trained
from cookbook.jobs.view import view
from cookbook.jobs.watch import watch

# Last, since the module `jobs.identifier` would otherwise take the function's name.
from cookbook.siliconcloud import identifier

__all__ = [
    "CancelButton",
    "IdentifierBox",
    "IdentifierError",
    "JobNotFound",
    "StartButton",
    "as_trained",
    "console_sheet",
    "explain",
    "find",
    "identifier",
    "remembered",
    "verify",
    "view",
    "watch",
]
