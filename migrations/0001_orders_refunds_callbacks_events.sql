-- Runs on SQLite and on PostgreSQL. Only TEXT and BIGINT: money in fen, times in Unix milliseconds, JSON as text.

-- An order, from the moment at which WeChat is about to be asked for it.
CREATE TABLE orders (
    out_trade_no   TEXT   NOT NULL PRIMARY KEY,
    kind           TEXT   NOT NULL,
    app_id         TEXT   NOT NULL,
    total          BIGINT NOT NULL CHECK (total > 0),
    owner_sub      TEXT,
    owner_openid   TEXT,
    -- The body that WeChat is asked with; empty for an order that was placed before this store existed.
    request        TEXT   NOT NULL,
    state          TEXT   NOT NULL CHECK (state IN ('CREATED', 'FAILED', 'NOTPAY', 'SUCCESS', 'REFUND', 'CLOSED')),
    prepay         TEXT,
    prepay_at      BIGINT,
    transaction_id TEXT,
    payer_total    BIGINT,
    -- What refunds have taken or may still take; never more than the order.
    held           BIGINT NOT NULL DEFAULT 0 CHECK (held >= 0 AND held <= total),
    created_at     BIGINT NOT NULL,
    accepted_at    BIGINT,
    failed_at      BIGINT,
    paid_at        BIGINT,
    close_asked_at BIGINT,
    closed_at      BIGINT,
    -- When WeChat is to be asked about it next; empty once there is nothing left to ask.
    ask_at         BIGINT,
    asked          BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX orders_transaction ON orders (transaction_id) WHERE transaction_id IS NOT NULL;
CREATE INDEX orders_to_ask ON orders (ask_at) WHERE ask_at IS NOT NULL;

-- A refund, from the moment at which WeChat is about to be asked for it.
CREATE TABLE refunds (
    out_refund_no TEXT   NOT NULL PRIMARY KEY,
    out_trade_no  TEXT   NOT NULL REFERENCES orders (out_trade_no),
    refund_id     TEXT,
    amount        BIGINT NOT NULL CHECK (amount > 0),
    request       TEXT   NOT NULL,
    state         TEXT   NOT NULL CHECK (state IN ('CREATED', 'FAILED', 'PROCESSING', 'SUCCESS', 'CLOSED', 'ABNORMAL')),
    -- State changes so far; tells one stay in ABNORMAL from the next.
    moves         BIGINT NOT NULL DEFAULT 0,
    created_at    BIGINT NOT NULL,
    -- When it was last asked for: a refund that is on its way right now is not given up.
    asked_for_at  BIGINT NOT NULL,
    accepted_at   BIGINT,
    ended_at      BIGINT,
    ask_at        BIGINT,
    asked         BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX refunds_of_order ON refunds (out_trade_no);
CREATE INDEX refunds_to_ask ON refunds (ask_at) WHERE ask_at IS NOT NULL;

-- A proven fact that a callback told of. The same fact heard again is the same row.
CREATE TABLE callbacks (
    fact            TEXT   NOT NULL PRIMARY KEY,
    stream          TEXT   NOT NULL,
    event_type      TEXT,
    notification_id TEXT,
    proof           TEXT   NOT NULL,
    outcome         TEXT   NOT NULL,
    resource        TEXT   NOT NULL,
    first_at        BIGINT NOT NULL,
    last_at         BIGINT NOT NULL,
    times           BIGINT NOT NULL
);
CREATE INDEX callbacks_of_stream ON callbacks (stream);

-- What the business side is to be told: one row per fact, written with the state that it tells of.
CREATE TABLE events (
    event_id   TEXT   NOT NULL PRIMARY KEY,
    fact       TEXT   NOT NULL UNIQUE,
    stream     TEXT   NOT NULL,
    position   BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    payload    TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (stream, position)
);

-- What is genuine and does not fit.
CREATE TABLE anomalies (
    anomaly_id  TEXT   NOT NULL PRIMARY KEY,
    fact        TEXT   NOT NULL UNIQUE,
    kind        TEXT   NOT NULL,
    subject     TEXT   NOT NULL,
    detail      TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    resolved_at BIGINT
);
CREATE INDEX anomalies_of_subject ON anomalies (subject);
