-- The books against WeChat's bills, day by day.

-- When WeChat took the refund on, by its own clock: this decides in which day's bill it is.
ALTER TABLE refunds ADD COLUMN applied_at BIGINT;
-- When the receiver had the money, by WeChat's clock.
ALTER TABLE transfers ADD COLUMN succeeded_at BIGINT;

-- What belongs to a day, read in order. What WeChat did not date counts when it was heard of.
CREATE INDEX orders_paid ON orders (paid_at, out_trade_no) WHERE paid_at IS NOT NULL;
CREATE INDEX refunds_applied ON refunds ((COALESCE(applied_at, accepted_at)), out_refund_no) WHERE accepted_at IS NOT NULL;
CREATE INDEX refunds_undated ON refunds (accepted_at) WHERE applied_at IS NULL AND accepted_at IS NOT NULL;
CREATE INDEX transfers_succeeded ON transfers ((COALESCE(succeeded_at, ended_at)), out_bill_no) WHERE state = 'SUCCESS';
-- The fund flow names transfers by WeChat's number.
CREATE INDEX transfers_bill ON transfers (transfer_bill_no) WHERE transfer_bill_no IS NOT NULL;

-- One comparison of a day's bill with the books.
CREATE TABLE reconciliations (
    run_id      TEXT   NOT NULL PRIMARY KEY,
    -- The day in China, like 2026-11-22.
    day         TEXT   NOT NULL,
    bill        TEXT   NOT NULL CHECK (bill IN ('TRADE', 'FUND_FLOW')),
    began_at    BIGINT NOT NULL,
    ended_at    BIGINT,
    -- RUNNING without an end is a run that was cut off.
    outcome     TEXT   NOT NULL CHECK (outcome IN ('RUNNING', 'AGREE', 'DIFFER', 'FAILED')),
    -- The run whose differences were asked about before this one compared again.
    repairs     TEXT   REFERENCES reconciliations (run_id),
    -- Lines of the bill, and how many of them are of no app of this service.
    lines       BIGINT NOT NULL DEFAULT 0,
    others      BIGINT NOT NULL DEFAULT 0,
    differences BIGINT NOT NULL DEFAULT 0,
    -- How many and how much on each side, as JSON, in fen.
    sums        TEXT,
    -- Why it failed.
    problem     TEXT
);
CREATE INDEX reconciliations_of_day ON reconciliations (day, began_at);

-- What the two did not agree on in one run.
CREATE TABLE differences (
    run_id   TEXT   NOT NULL REFERENCES reconciliations (run_id),
    position BIGINT NOT NULL,
    kind     TEXT   NOT NULL CHECK (kind IN ('missing_here', 'missing_there', 'amount', 'state', 'refund')),
    subject  TEXT   NOT NULL CHECK (subject IN ('payment', 'refund', 'transfer')),
    -- The merchant's number of the payment's order or of the refund; WeChat's of the transfer.
    number   TEXT   NOT NULL,
    -- What the books say and what the bill says, as JSON; empty where one says nothing.
    here     TEXT,
    there    TEXT,
    PRIMARY KEY (run_id, position)
);
CREATE INDEX differences_in_order ON differences (run_id, subject, number, position);
