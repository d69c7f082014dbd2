-- The database of a data folder, as a new one is made. An older one gets there by the migrations
-- in database.py, which must lead to these same tables: tests/unit/test_store.py compares the two.

-- Files, jobs, models and batches have an owner: a person's name, or 'local' for whoever runs the service.

-- Uploads, with their content. `rowid` gives their order. `digest` is the SHA-256 of the content;
-- NULL for those of older releases.
CREATE TABLE files (
    id TEXT PRIMARY KEY,
    filename TEXT NOT NULL,
    purpose TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    content BLOB NOT NULL,
    owner TEXT NOT NULL DEFAULT 'local',
    digest TEXT
);
-- All that a list shows: the columns behind `content` are reached through all of its pages.
CREATE INDEX files_of_owner ON files (owner, id, filename, purpose, bytes, created_at, digest);

-- `requested_state` is 'run' or 'pause': what the user asked for, not what the job does.
-- `crashes` counts the deaths of its process since its last progress.
-- `memory_level` counts how often it ran out of memory; `memory_plan` is the plan of its newest
-- process, with the bytes that it needs and that were free.
-- `fingerprint` is the same for jobs that would learn the same from the same data; NULL where that
-- is not known.
-- `place` names the nodes of a cluster on which it is trained, or was last; NULL on this machine.
-- `language` is that of the cards of its models, 'zh' or 'en'; NULL for the service's own.
-- hyperparameters, metadata, error, memory_plan and place are JSON. Where an error or a fault has a
-- `message_en`, that is its `message` in English.
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT UNIQUE NOT NULL,
    status TEXT NOT NULL,
    requested_state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    base TEXT NOT NULL,
    training_file TEXT NOT NULL,
    validation_file TEXT,
    validation_split REAL NOT NULL,
    suffix TEXT,
    seed INTEGER NOT NULL,
    hyperparameters TEXT NOT NULL,
    metadata TEXT,
    model TEXT NOT NULL,
    trained_tokens INTEGER,
    error TEXT,
    crashes INTEGER NOT NULL DEFAULT 0,
    memory_level INTEGER NOT NULL DEFAULT 0,
    memory_plan TEXT,
    owner TEXT NOT NULL DEFAULT 'local',
    fingerprint TEXT,
    place TEXT,
    language TEXT
);
CREATE INDEX jobs_by_status ON jobs (status, number);
CREATE INDEX jobs_of_owner ON jobs (owner, number);
CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_by_fingerprint ON jobs (fingerprint, number) WHERE fingerprint IS NOT NULL;

-- The log of each job; rows are only added. `data` is JSON. `message_en` is the message in English;
-- NULL where `message` is shown to everybody, as it is of older releases.
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL REFERENCES jobs(id),
    created_at INTEGER NOT NULL,
    level TEXT NOT NULL,
    type TEXT NOT NULL,
    message TEXT NOT NULL,
    data TEXT,
    step INTEGER,
    message_en TEXT
);
CREATE INDEX events_of_job ON events (job, number);
-- A step that is trained again after a crash has the same figures: it is logged once.
CREATE UNIQUE INDEX once_a_step ON events (job, type, step) WHERE step IS NOT NULL;

-- Finished models and checkpoints. `folder` is a name below the models folder; `metrics` is JSON.
-- Whoever is in the room can ask a `shared` one.
CREATE TABLE models (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT UNIQUE NOT NULL,
    job TEXT NOT NULL,
    base TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    step INTEGER NOT NULL,
    folder TEXT NOT NULL,
    metrics TEXT NOT NULL,
    owner TEXT NOT NULL DEFAULT 'local',
    shared INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX models_of_job ON models (job, number);
CREATE INDEX models_of_owner ON models (owner, number);

-- The people of a room. `key_hash` is the SHA-256 of a person's key, which is kept nowhere else.
-- `seen_at`, `notebook` and `act` tell when they were here last, where, and what they did;
-- `language` is that of their notebook, 'zh' or 'en', NULL where it has not said one.
CREATE TABLE people (
    name TEXT PRIMARY KEY COLLATE NOCASE,
    key_hash TEXT UNIQUE NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at INTEGER,
    notebook TEXT,
    act TEXT,
    language TEXT
);

-- What holds for the whole room, by name: `closes_at` (seconds since 1970), `message` and `address`
-- (JSON; where the room is reached, for slips that are written later).
CREATE TABLE room (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Requests of one file, answered in the background. `status` is OpenAI's word; `ended_at` is NULL
-- while it is under way. `total` counts the lines of the file, `answered` and `failed` those that
-- are done, `result_bytes` their size. `fault` says why a batch failed, or what it waits for.
-- `language` is that in which its result files say what went wrong; NULL for the service's own.
-- metadata and fault are JSON.
CREATE TABLE batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT UNIQUE NOT NULL,
    owner TEXT NOT NULL,
    status TEXT NOT NULL,
    input_file TEXT NOT NULL,
    model TEXT NOT NULL,
    completion_window TEXT NOT NULL,
    metadata TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    finalizing_at INTEGER,
    cancelling_at INTEGER,
    ended_at INTEGER,
    total INTEGER NOT NULL,
    answered INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    result_bytes INTEGER NOT NULL DEFAULT 0,
    output_file TEXT,
    error_file TEXT,
    fault TEXT,
    language TEXT
);
CREATE INDEX batches_of_owner ON batches (owner, number);
CREATE INDEX batches_under_way ON batches (number) WHERE ended_at IS NULL;

-- The lines that are done of batches under way, as their result files will have them; `status` is
-- the HTTP status. A batch that has ended has its files, and no rows here.
CREATE TABLE batch_answers (
    batch TEXT NOT NULL REFERENCES batches(id),
    line INTEGER NOT NULL,
    status INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (batch, line)
);
