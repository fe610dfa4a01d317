-- Events that could not be consumed at once. (consumer_group, partition, offset) is the place in the queue.

CREATE TABLE retry (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    consumer_group TEXT    NOT NULL,
    "partition"    INTEGER NOT NULL,
    "offset"       INTEGER NOT NULL,
    attempt        INTEGER NOT NULL,
    due_at         INTEGER NOT NULL,
    reason         TEXT    NOT NULL,
    event_id       TEXT    NOT NULL,
    topic          TEXT    NOT NULL,
    "key"          TEXT    NOT NULL,
    room_id        INTEGER,
    created_at     INTEGER NOT NULL,
    payer_id       INTEGER,
    asset_type     INTEGER,
    digest         BLOB,
    outcome        BLOB,
    payload        BLOB    NOT NULL,
    UNIQUE (consumer_group, "partition", "offset")
) STRICT;

CREATE INDEX retry_by_due ON retry (consumer_group, due_at, id);
CREATE INDEX retry_by_payer ON retry (payer_id, asset_type) WHERE payer_id IS NOT NULL;

CREATE TABLE dead_letter (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    consumer_group TEXT    NOT NULL,
    "partition"    INTEGER NOT NULL,
    "offset"       INTEGER NOT NULL,
    attempts       INTEGER NOT NULL,
    at             INTEGER NOT NULL,
    reason         TEXT    NOT NULL,
    event_id       TEXT    NOT NULL,
    topic          TEXT    NOT NULL,
    "key"          TEXT    NOT NULL,
    room_id        INTEGER,
    created_at     INTEGER NOT NULL,
    payer_id       INTEGER,
    asset_type     INTEGER,
    digest         BLOB,
    outcome        BLOB,
    payload        BLOB    NOT NULL,
    -- When readers outside are to be told of it; null once they were.
    tell_at        INTEGER DEFAULT 0,
    UNIQUE (consumer_group, "partition", "offset")
) STRICT;

CREATE INDEX dead_letter_by_payer ON dead_letter (payer_id, asset_type) WHERE payer_id IS NOT NULL;
CREATE INDEX dead_letter_by_tell ON dead_letter (tell_at, id) WHERE tell_at IS NOT NULL;
