-- Installed plugins. A version never changes; the range of problem codes belongs to the name for ever.

CREATE TABLE plugin (
    name         TEXT COLLATE "C" NOT NULL,
    version      TEXT   NOT NULL,
    digest       TEXT   NOT NULL,
    wasm         BYTEA  NOT NULL,
    installed_at BIGINT NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TABLE plugin_code_range (
    name TEXT   NOT NULL PRIMARY KEY,
    base BIGINT NOT NULL UNIQUE
);

-- The schema statements of plugins that were run, in order.
CREATE TABLE plugin_schema (
    id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plugin TEXT   NOT NULL,
    text   TEXT   NOT NULL
);

-- A text may be longer than an index takes.
CREATE UNIQUE INDEX plugin_schema_once ON plugin_schema (plugin, md5(text));
