CREATE TABLE migration (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    began_ms INTEGER NOT NULL,
    UNIQUE (source, target)
) STRICT;

CREATE TABLE attempt (
    id INTEGER PRIMARY KEY,
    migration INTEGER NOT NULL REFERENCES migration (id),
    began_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    outcome TEXT
) STRICT;

CREATE TABLE pass (
    id INTEGER PRIMARY KEY,
    migration INTEGER NOT NULL REFERENCES migration (id),
    segments INTEGER NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0
) STRICT;

-- "staged" is the digest of the records of "unit" that are staged under "token".
CREATE TABLE segment (
    pass INTEGER NOT NULL REFERENCES pass (id),
    number INTEGER NOT NULL,
    walk TEXT NOT NULL,
    lower BLOB,
    upper BLOB,
    bytes_estimate INTEGER,
    "cursor" BLOB,
    unit TEXT,
    token TEXT,
    staged BLOB,
    done INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (pass, number)
) STRICT, WITHOUT ROWID;

-- "target" is NULL where it equals "source"; "pass" is the last one that named the unit.
CREATE TABLE watermark (
    migration INTEGER NOT NULL REFERENCES migration (id),
    unit TEXT NOT NULL,
    pass INTEGER NOT NULL,
    source BLOB NOT NULL,
    target BLOB,
    PRIMARY KEY (migration, unit)
) STRICT, WITHOUT ROWID;

-- What may be staged at the target: named before it is staged, forgotten when it is no longer.
CREATE TABLE staging (
    migration INTEGER NOT NULL REFERENCES migration (id),
    unit TEXT NOT NULL,
    token TEXT NOT NULL,
    PRIMARY KEY (migration, unit)
) STRICT, WITHOUT ROWID;

CREATE TABLE failure (
    migration INTEGER NOT NULL REFERENCES migration (id),
    pass INTEGER NOT NULL,
    unit TEXT,
    what TEXT NOT NULL,
    why TEXT NOT NULL
) STRICT;

CREATE INDEX failure_unit ON failure (migration, unit);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    migration INTEGER NOT NULL REFERENCES migration (id),
    at_ms INTEGER NOT NULL,
    line TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END;

CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END;
