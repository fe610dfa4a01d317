-- Installed plugins. A version never changes; the range of problem codes belongs to the name for ever.

CREATE TABLE plugin (
    name         TEXT    NOT NULL,
    version      TEXT    NOT NULL,
    digest       TEXT    NOT NULL,
    wasm         BLOB    NOT NULL,
    installed_at INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;

CREATE TABLE plugin_code_range (
    name TEXT    NOT NULL PRIMARY KEY,
    base INTEGER NOT NULL UNIQUE
) STRICT;

-- The schema statements of plugins that were run, in order.
CREATE TABLE plugin_schema (
    id     INTEGER PRIMARY KEY,
    plugin TEXT    NOT NULL,
    text   TEXT    NOT NULL,
    UNIQUE (plugin, text)
) STRICT;
