"""The embedded service: an OpenAI-compatible server that trains LoRA adapters.

Requests, in the order in which they pass:
    server, publication         one service on a data folder, and how others find it
    listening, certificate      on which sockets, with TLS or without
    connections, limits         how many connections, how long each may take
    app, middleware             HTTP: who may call, how much a request may hold
    callers, activity           whose key it is, and whether anybody calls at present
    prefix                      the same below a path of a JupyterHub
    page, page/                 the page of a room
    health, files, jobs, job_log, models, chat, completions, batches, room
                                one resource a file: request, response, routes
    room, room_view, page       the room as its page asks for it, and the page; scripts in page/
    chat_body, job_body, batch_body, response_format
                                what the larger requests hold
    answers, logprobs           what chat and completions share
    room_view, room_gauges      what is shown of a room, and of its machine
    presence                    who of a room was here when
    request_body, neutral       what every body accepts without effect, and refuses by name
    validation, sentences       what is wrong with a request, and how the client reads it
    api_error, request_id, paging, state
                                what the routes share

Chat and training:
    chat_engine, chat_request   answers: the engine in the background, and its contract
    engines/                    answers by a vLLM elsewhere, behind the same contract
    supervisor, waits           the queue, and what its jobs wait for
    turns                       whose job is next, and the places that are shown
    chat_turns                  whose answer starts next
    batch_runner, batch_results the lines of batches, answered where chat has nothing to do
    fingerprint, twins          which jobs are equal, and how one takes over another's result
    training_process, prewarmed one process for each job, and one that waits for the next
    worker, exit_codes, events  what runs in it, how it ends, what it tells
    trainers/                   where its steps are taken: on this machine, or on a Ray cluster
    download                    a base that must come from its hub first
    out_of_memory               the signs of it, and what a job that met it is told
    neighbours                  what chat must know of the trainings beside it
    engine/                     both at work; torch is nowhere else
    model_card                  the README beside an adapter
    batch_file                  what is wrong with a file of requests, by line
    file_check, trial           uploads and doubtful code, in processes of their own

Data:
    store, database             SQLite, the only channel between the processes
    recovery                    what the database no longer knows
    logs, worker_log            the service's own log, and one for each training process
    status                      what `python -m cookbook status` shows

Helpers never import this package, the command line apart: they talk to it over HTTP.
"""
