-- What operators decide: rooms with their live stream, the plugins bound in them, and who changed what.

CREATE TABLE room (
    room_id           INTEGER PRIMARY KEY,
    title             TEXT    NOT NULL,
    streamers         TEXT    NOT NULL,
    created_at        INTEGER NOT NULL,
    version           INTEGER NOT NULL,
    stream_id         TEXT,
    stream_started_at INTEGER,
    CHECK ((stream_id IS NULL) = (stream_started_at IS NULL))
) STRICT;

CREATE UNIQUE INDEX room_by_stream ON room (stream_id) WHERE stream_id IS NOT NULL;

CREATE TABLE binding (
    room_id        INTEGER NOT NULL REFERENCES room (room_id),
    plugin         TEXT    NOT NULL,
    version        TEXT    NOT NULL,
    enabled        INTEGER NOT NULL,
    config         TEXT    NOT NULL,
    canary_version TEXT,
    canary_percent INTEGER,
    PRIMARY KEY (room_id, plugin),
    CHECK ((canary_version IS NULL) = (canary_percent IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX binding_by_plugin ON binding (plugin, version);

CREATE TABLE audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    room_id    INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    by_user    INTEGER NOT NULL,
    action     TEXT    NOT NULL,
    from_value TEXT    NOT NULL,
    to_value   TEXT    NOT NULL
) STRICT;

CREATE INDEX audit_by_room ON audit (room_id, id);
