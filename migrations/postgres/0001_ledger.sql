-- The settled ledger. Amounts are whole numbers of the asset's smallest unit; times are milliseconds since the Unix epoch.
-- Columns are in the order that leaves no gaps between them. 16 partitions of each large table: vacuum and index builds work on
-- a sixteenth at a time, and a distributed database has something to share out.

-- The settled balance of each account. `version` grows by one with each batch that touches the row. Room is left in the pages so
-- that a new version of a row stays in its page, without a new entry in the index.
CREATE TABLE user_asset (
    user_id    BIGINT NOT NULL,
    asset_type BIGINT NOT NULL,
    asset_cn   BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, asset_type)
) PARTITION BY HASH (user_id);

-- One row for each event that was posted or voided: the gate that lets an event in once, and all that its entries share.
-- `id` is the number of the batch and the place in it. The unique index begins with the event id, which is ordered by time when
-- it is a UUIDv7; one that begins with the payer would be written at random places.
CREATE TABLE event (
    id         BIGINT  NOT NULL,
    payer_id   BIGINT  NOT NULL,
    biz_type   BIGINT  NOT NULL,
    created_at BIGINT  NOT NULL,
    voided     BOOLEAN NOT NULL,
    event_id   TEXT COLLATE "C" NOT NULL,
    digest     BYTEA   NOT NULL,
    outcome    BYTEA,
    biz_id     TEXT    NOT NULL,
    obj_id     TEXT    NOT NULL,
    event_type TEXT    NOT NULL,
    record     TEXT    NOT NULL,
    UNIQUE (event_id, payer_id)
) PARTITION BY HASH (event_id);

CREATE INDEX event_by_id ON event (id);

CREATE SEQUENCE event_batch;

-- One line of the books. `version` is the account's version that the line is part of: an account's versions follow each other in
-- the order of their commits, whatever the number of hosts that settle, so an account's lines are paged in the order of settling.
-- The text of the event is not repeated: measured with 1,000 events of 5 entries in one statement, this takes 37 ms of a
-- processor and 605 MB where one wide table takes 48 ms and, for fewer events, 867 MB; a quarter of it is this primary key.
CREATE TABLE entry (
    user_id      BIGINT   NOT NULL,
    asset_type   BIGINT   NOT NULL,
    version      BIGINT   NOT NULL,
    event        BIGINT   NOT NULL,
    delta        BIGINT   NOT NULL,
    op_user_type SMALLINT NOT NULL,
    PRIMARY KEY (user_id, asset_type, version, event, op_user_type)
) PARTITION BY HASH (user_id);

DO $$
BEGIN
    FOR part IN 0..15 LOOP
        EXECUTE format('CREATE TABLE user_asset_%s PARTITION OF user_asset FOR VALUES WITH (MODULUS 16, REMAINDER %s) WITH (fillfactor = 70)', part, part);
        EXECUTE format('CREATE TABLE event_%s PARTITION OF event FOR VALUES WITH (MODULUS 16, REMAINDER %s)', part, part);
        EXECUTE format('CREATE TABLE entry_%s PARTITION OF entry FOR VALUES WITH (MODULUS 16, REMAINDER %s)', part, part);
    END LOOP;
END
$$;

-- The records as people read them.
CREATE VIEW user_asset_record AS
SELECT event.event_id, event.payer_id, entry.op_user_type, entry.user_id, entry.asset_type, entry.delta, event.digest,
       event.biz_id, event.biz_type, event.obj_id, event.event_type, event.record, event.created_at
FROM entry JOIN event ON event.id = entry.event;

-- Pots: system accounts of plugins. Pot n is the user -(1,000,000 + n). Never deleted: the books name it.
CREATE TABLE pot (
    pot_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plugin TEXT COLLATE "C" NOT NULL,
    name   TEXT COLLATE "C" NOT NULL,
    UNIQUE (plugin, name)
);
