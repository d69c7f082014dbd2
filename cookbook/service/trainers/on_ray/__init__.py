"""Train on the nodes of a Ray cluster, by Ray's core alone: placement groups and actors.

In the service, without loading Ray:
    trainer.py        what service and training process call
    cluster.py        is the cluster there?
    nodes.py          which nodes it has, as survey.py finds in a process of its own

In the job's process:
    driver.py         the same events as a training here, in lock-step with the nodes
    connection.py     join the cluster, or say what keeps this machine out
    needs.py          how many workers, and what each needs
    place.py          seek a place for them
    crew.py           their actors, called together
    versions.py       what a node has installed, beside what the service has

On a node:
    actor.py          the process of a worker: a door to work.py
    work.py           the engine's own `train`, an event at a time
    meeting.py        where the workers of a job find each other
    node_base.py      the base there, or what was sent of it
    node_folder.py    the folders there

Between them:
    parcel.py         files and folders, in parts, whole or not at all
    failure.py        an exception
"""
