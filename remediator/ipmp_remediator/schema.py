"""The tables of the remediator's memory; their columns are the fields of `state`'s structs."""

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;

CREATE TABLE IF NOT EXISTS episodes (
    fingerprint TEXT NOT NULL,
    "group" TEXT NOT NULL,
    interface TEXT NOT NULL,
    alertname TEXT NOT NULL,
    policy TEXT NOT NULL,
    wish TEXT NOT NULL,
    status TEXT NOT NULL,
    started INTEGER NOT NULL,
    first REAL NOT NULL,
    heard REAL NOT NULL,
    changed REAL NOT NULL,
    outcome TEXT NOT NULL,
    told TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (fingerprint, "group", interface)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS episodes_firing ON episodes (status) WHERE status = 'firing';
CREATE INDEX IF NOT EXISTS episodes_pending ON episodes (outcome)
    WHERE status = 'firing' AND wish = 'offline' AND outcome = 'pending';
CREATE INDEX IF NOT EXISTS episodes_by_interface ON episodes (interface);

CREATE TABLE IF NOT EXISTS drains (
    interface TEXT PRIMARY KEY,
    "group" TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    alertname TEXT NOT NULL,
    policy TEXT NOT NULL,
    request_id TEXT NOT NULL,
    since REAL NOT NULL,
    undo TEXT NOT NULL DEFAULT '',
    escalated INTEGER NOT NULL DEFAULT 0,
    told TEXT NOT NULL DEFAULT ''
);

CREATE TABLE IF NOT EXISTS operations (
    request_id TEXT PRIMARY KEY,
    action TEXT NOT NULL,
    interface TEXT NOT NULL UNIQUE,
    "group" TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    alertname TEXT NOT NULL,
    policy TEXT NOT NULL,
    reason TEXT NOT NULL,
    began REAL NOT NULL,
    name TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS acts (
    request_id TEXT PRIMARY KEY,
    time REAL NOT NULL,
    action TEXT NOT NULL,
    interface TEXT NOT NULL,
    "group" TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS onsets (
    time REAL NOT NULL,
    policy TEXT NOT NULL,
    interface TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS onsets_by_time ON onsets (time);

CREATE TABLE IF NOT EXISTS trouble (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    storm_since REAL NOT NULL,
    storm_last REAL NOT NULL,
    failures INTEGER NOT NULL,
    failed_at REAL NOT NULL
);
INSERT OR IGNORE INTO trouble VALUES (1, 0, 0, 0, 0);

CREATE TABLE IF NOT EXISTS approvals (
    id TEXT PRIMARY KEY,
    actor TEXT NOT NULL,
    time REAL NOT NULL
);

CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time REAL NOT NULL,
    "group" TEXT NOT NULL,
    interface TEXT NOT NULL,
    decision TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS decisions_by_time ON decisions (time);
CREATE INDEX IF NOT EXISTS decisions_by_interface ON decisions (interface);
"""
