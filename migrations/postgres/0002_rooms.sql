-- What operators decide: rooms with their live stream, the plugins bound in them, and who changed what. JSON is kept as the text
-- that it was.

CREATE TABLE room (
    room_id           BIGINT PRIMARY KEY,
    title             TEXT   NOT NULL,
    streamers         TEXT   NOT NULL,
    created_at        BIGINT NOT NULL,
    version           BIGINT NOT NULL,
    stream_id         TEXT,
    stream_started_at BIGINT,
    CHECK ((stream_id IS NULL) = (stream_started_at IS NULL))
);

CREATE UNIQUE INDEX room_by_stream ON room (stream_id) WHERE stream_id IS NOT NULL;

CREATE TABLE binding (
    room_id        BIGINT  NOT NULL REFERENCES room (room_id),
    plugin         TEXT COLLATE "C" NOT NULL,
    version        TEXT    NOT NULL,
    enabled        BOOLEAN NOT NULL,
    config         TEXT    NOT NULL,
    canary_version TEXT,
    canary_percent SMALLINT,
    PRIMARY KEY (room_id, plugin),
    CHECK ((canary_version IS NULL) = (canary_percent IS NULL))
);

CREATE INDEX binding_by_plugin ON binding (plugin, version);

CREATE TABLE audit (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room_id    BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    by_user    BIGINT NOT NULL,
    action     TEXT   NOT NULL,
    from_value TEXT   NOT NULL,
    to_value   TEXT   NOT NULL
);

CREATE INDEX audit_by_room ON audit (room_id, id);
