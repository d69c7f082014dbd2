"""The embedded service: an OpenAI-compatible server that trains LoRA adapters on this machine.

    store, database             SQLite, the only channel between its processes
    app, middleware, limits     HTTP, and who may call
    files, jobs, job_log, models, chat, completions
                                one resource a file: request, response, routes
    answers, asked              what chat and completions share
    file_check                  uploads, checked in processes of their own
    state, paging, api_error    what the routes share
    supervisor, worker, events  the queue, and one training process for each job
    chat_engine, engine/        answers and training; torch is nowhere else

server runs them on a data folder, status says what they are doing. Helpers never import this
package, `connection` and the command line apart: they talk to it over HTTP.
"""
