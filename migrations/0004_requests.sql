-- What operators look at and write down.

-- What callers asked for of something that is in the books, besides the first placing of an order, which is the order's own row. The
-- same again is the same row, so a million repeats are one.
CREATE TABLE requests (
    -- The order's number, or 'transfer/' and the transfer's, as in events.
    stream   TEXT   NOT NULL,
    action   TEXT   NOT NULL,
    -- The refund's number; else empty.
    subject  TEXT   NOT NULL,
    -- By what the caller is known, and the ends of their name: never a whole openid.
    who      TEXT   NOT NULL,
    -- OK, or the constant of the refusal.
    outcome  TEXT   NOT NULL,
    first_at BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    times    BIGINT NOT NULL,
    PRIMARY KEY (stream, action, subject, who, outcome)
);

-- What the operator found out who resolved it.
ALTER TABLE anomalies ADD COLUMN note TEXT;
CREATE INDEX anomalies_open ON anomalies (created_at) WHERE resolved_at IS NULL;
