"""Train on the nodes of a Ray cluster, by Ray's core alone: placement groups and actors.

trainer.py     what service and training process call
cluster.py     is the cluster there? seen from the service, without loading Ray
driver.py      in the job's process: seek a place, drive the actors, bring back what they make
actor.py       on a node: the engine's own `train`, an event at a time
parcel.py      files on their way between the two
"""
