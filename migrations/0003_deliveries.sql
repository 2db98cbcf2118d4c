-- What becomes of an event: told to the business side by a webhook, in order within its stream.

-- UNSENT: there was nobody to tell. WAITING: to be told. DELIVERED, DEAD: it ended.
ALTER TABLE events ADD COLUMN delivery TEXT NOT NULL DEFAULT 'UNSENT' CHECK (delivery IN ('UNSENT', 'WAITING', 'DELIVERED', 'DEAD'));
-- When it is to be tried next, or until when a sender has it; empty while another event of its stream has its turn, and when nothing is
-- to be done.
ALTER TABLE events ADD COLUMN deliver_at BIGINT;
-- Attempts begun so far; a sender that lost its lease is told apart by this number.
ALTER TABLE events ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0;
-- How many of them were before somebody asked for it to be told anew: the back-off begins again there.
ALTER TABLE events ADD COLUMN attempts_before BIGINT NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN ended_at BIGINT;
CREATE INDEX events_to_deliver ON events (deliver_at) WHERE deliver_at IS NOT NULL;
-- One of a stream at a time.
CREATE UNIQUE INDEX events_turn ON events (stream) WHERE deliver_at IS NOT NULL;
CREATE INDEX events_dead ON events (ended_at) WHERE delivery = 'DEAD';

-- One attempt to deliver an event, once it ended.
CREATE TABLE attempts (
    event_id TEXT   NOT NULL REFERENCES events (event_id),
    attempt  BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    took_ms  BIGINT NOT NULL,
    -- What the receiver answered; empty when there was no answer.
    status   BIGINT,
    -- Why it did not count as delivered; empty when it did.
    problem  TEXT,
    PRIMARY KEY (event_id, attempt)
);
