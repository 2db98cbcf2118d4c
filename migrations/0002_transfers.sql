-- A merchant transfer, from the moment at which WeChat is about to be asked for it.
CREATE TABLE transfers (
    out_bill_no      TEXT   NOT NULL PRIMARY KEY,
    transfer_bill_no TEXT,
    app_id           TEXT   NOT NULL,
    -- Who receives it.
    openid           TEXT   NOT NULL,
    amount           BIGINT NOT NULL CHECK (amount > 0),
    owner_sub        TEXT,
    owner_openid     TEXT,
    -- The body that WeChat is asked with, without the receiver's name; of that, a digest.
    request          TEXT   NOT NULL,
    name_digest      TEXT,
    state            TEXT   NOT NULL CHECK (state IN ('CREATED', 'REJECTED', 'ACCEPTED', 'PROCESSING', 'WAIT_USER_CONFIRM',
                                                      'TRANSFERING', 'CANCELING', 'SUCCESS', 'FAIL', 'CANCELLED')),
    fail_reason      TEXT,
    -- What the receiver confirms with; WeChat says it once.
    package_info     TEXT,
    created_at       BIGINT NOT NULL,
    -- When it was last asked for: a transfer that is on its way right now is not given up.
    asked_for_at     BIGINT NOT NULL,
    accepted_at      BIGINT,
    ended_at         BIGINT,
    ask_at           BIGINT,
    asked            BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX transfers_to_ask ON transfers (ask_at) WHERE ask_at IS NOT NULL;
