"""Launch, follow and hand over fine-tuning jobs: guide §2.2–§2.4.

find                a job that did, or does, the same already          finding.py
StartButton, CancelButton                                              buttons.py
watch               lines and a picture that follow running jobs       watching.py, drawing.py
view                a job and its events as they stand                 viewing.py
console_sheet, identifier, verify, remembered, IdentifierBox           console.py: SiliconCloud, which has no route for jobs
"""

from cookbook.errors import IdentifierError, JobNotFound
from cookbook.explain import explain
from cookbook.jobs.buttons import CancelButton, StartButton
from cookbook.jobs.console import (
    ConsoleSheet,
    IdentifierBox,
    Verified,
    console_sheet,
    remembered,
    verify,
)
from cookbook.jobs.find import find
from cookbook.jobs.loss_mask import Row, Token, as_trained
from cookbook.jobs.plot import Curves, States, figure
from cookbook.jobs.view import ENDED, JobView, view
from cookbook.jobs.watch import watch
from cookbook.siliconcloud import Identifier, identifier

__all__ = [
    "CancelButton",
    "ConsoleSheet",
    "Curves",
    "ENDED",
    "Identifier",
    "IdentifierBox",
    "IdentifierError",
    "JobNotFound",
    "JobView",
    "Row",
    "StartButton",
    "States",
    "Token",
    "Verified",
    "as_trained",
    "console_sheet",
    "explain",
    "figure",
    "find",
    "identifier",
    "remembered",
    "verify",
    "view",
    "watch",
]
