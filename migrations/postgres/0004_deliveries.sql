-- Events that could not be consumed at once. (consumer_group, partition, offset) is the place in the queue.

CREATE TABLE retry (
    id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer_group TEXT COLLATE "C" NOT NULL,
    "partition"    BIGINT NOT NULL,
    "offset"       BIGINT NOT NULL,
    attempt        BIGINT NOT NULL,
    due_at         BIGINT NOT NULL,
    reason         TEXT   NOT NULL,
    event_id       TEXT   NOT NULL,
    topic          TEXT   NOT NULL,
    "key"          TEXT   NOT NULL,
    room_id        BIGINT,
    created_at     BIGINT NOT NULL,
    payer_id       BIGINT,
    asset_type     BIGINT,
    digest         BYTEA,
    outcome        BYTEA,
    payload        BYTEA  NOT NULL,
    UNIQUE (consumer_group, "partition", "offset")
);

CREATE INDEX retry_by_due ON retry (consumer_group, due_at, id);
CREATE INDEX retry_by_payer ON retry (payer_id, asset_type) WHERE payer_id IS NOT NULL;

CREATE TABLE dead_letter (
    id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer_group TEXT COLLATE "C" NOT NULL,
    "partition"    BIGINT NOT NULL,
    "offset"       BIGINT NOT NULL,
    attempts       BIGINT NOT NULL,
    at             BIGINT NOT NULL,
    reason         TEXT   NOT NULL,
    event_id       TEXT   NOT NULL,
    topic          TEXT   NOT NULL,
    "key"          TEXT   NOT NULL,
    room_id        BIGINT,
    created_at     BIGINT NOT NULL,
    payer_id       BIGINT,
    asset_type     BIGINT,
    digest         BYTEA,
    outcome        BYTEA,
    payload        BYTEA  NOT NULL,
    -- When readers outside are to be told of it; null once they were.
    tell_at        BIGINT DEFAULT 0,
    UNIQUE (consumer_group, "partition", "offset")
);

CREATE INDEX dead_letter_by_payer ON dead_letter (payer_id, asset_type) WHERE payer_id IS NOT NULL;
CREATE INDEX dead_letter_by_tell ON dead_letter (tell_at, id) WHERE tell_at IS NOT NULL;
