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
    started INTEGER NOT NULL,
    status TEXT NOT NULL,
    outcome TEXT NOT NULL,
    updated REAL NOT NULL,
    PRIMARY KEY (fingerprint, "group", interface)
);

CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    action TEXT NOT NULL,
    alertname TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    started INTEGER NOT NULL,
    "group" TEXT NOT NULL,
    interface TEXT NOT NULL,
    policy TEXT NOT NULL,
    request_id TEXT NOT NULL UNIQUE,
    not_before REAL NOT NULL,
    retry_at REAL NOT NULL DEFAULT 0,
    sent INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    waiting TEXT NOT NULL DEFAULT ''
);

CREATE TABLE IF NOT EXISTS drains (
    interface TEXT PRIMARY KEY,
    "group" TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    alertname TEXT NOT NULL,
    request_id TEXT NOT NULL,
    since REAL NOT NULL
);

CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time REAL NOT NULL,
    decision TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS decisions_by_time ON decisions (time);
"""
