"""Base models on Hugging Face and ModelScope: their names, their caches here, and the download.

    hubs.pull.look_up(name)     ask a hub for a model, then download it
    hubs.cache.find(name)       where it is on this machine, without network
    hubs.ready.fault(name)      why a base cannot be used yet, and the command that helps

Nothing here needs torch. Loading weights is the engine's work.
"""
