"""Plan the memory of a training before it starts: what it needs, and how it is made to fit.

    plan = memory.choose(shape, lengths, hp, machine.here())
    print(plan)               "needs about 3.1 GB of 6.0 GB free: micro-batches of 2, …"
    plan.fits, plan.remedies()
    plan = memory.choose_workers(shape, lengths, hp, machine)   where several may share the job

A step is the whole batch's step whatever the plan: a batch goes through the model in micro-batches
whose gradients add up, and activations that are not kept are computed again. So a smaller plan
costs time and changes no result. Several workers can share each batch, and the base's layers where
these do not fit into one. Read by helpers and service alike; imports no torch.

`weights.py` names the types of weights, `estimate.py` says what a training keeps, `choose.py` tries
plans from the fastest on, `plan.py` has the plan and its sentences, `remedies.py` what would fit
where none does.
"""

from cookbook.memory.choose import choose, choose_workers, smaller_base, workers_needed
from cookbook.memory.estimate import Settings, Task, parts, peak
from cookbook.memory.plan import MemoryPlan
from cookbook.memory.remedies import Remedies
from cookbook.memory.weights import (
    BFLOAT16,
    BYTES,
    FLOAT32,
    INSTALL_4_BIT,
    NF4,
    RUNTIME,
    SMALL,
    STORED_BFLOAT16,
    weight_types,
)

__all__ = [
    "BFLOAT16",
    "BYTES",
    "FLOAT32",
    "INSTALL_4_BIT",
    "NF4",
    "RUNTIME",
    "SMALL",
    "STORED_BFLOAT16",
    "MemoryPlan",
    "Remedies",
    "Settings",
    "Task",
    "choose",
    "choose_workers",
    "parts",
    "peak",
    "smaller_base",
    "weight_types",
    "workers_needed",
]
