-- The ledger. Times are microseconds since the Unix epoch, UTC; quantities are canonical decimal
-- text, and no statement adds them up: sums are made in exact decimals and stored. Facts (records,
-- bookings, attempts, receipts, moves) are append-only, which triggers hold.

-- "TALY": by this a ledger is told from other databases.
PRAGMA application_id = 0x54414C59;

CREATE TABLE ledger (
  one INTEGER NOT NULL PRIMARY KEY CONSTRAINT ledger_is_one CHECK (one = 1),
  id TEXT NOT NULL CONSTRAINT ledger_id_form CHECK (length(id) = 16),
  created_at INTEGER NOT NULL,
  -- Counts the runs that held the writer's lock; a lease names the run that took it.
  epoch INTEGER NOT NULL,
  -- Counts the changes of routes and accounts; what was parked before the last one is reviewed.
  mapping_version INTEGER NOT NULL,
  -- Set when the ledger was found to be older than what was sent from it: usage of before
  -- sent_through_at may be at the provider already, though no row says so. caught_up_at: since when
  -- a person says that the inputs were read again; caught_up_by: who, and why.
  restored_at INTEGER,
  sent_through_at INTEGER,
  caught_up_at INTEGER,
  caught_up_by TEXT,
  CONSTRAINT ledger_restored_form CHECK
    ((restored_at IS NULL) = (sent_through_at IS NULL)
      AND (caught_up_at IS NULL OR restored_at IS NOT NULL)
      AND (caught_up_at IS NULL) = (caught_up_by IS NULL))
) STRICT;

-- ── the journal ─────────────────────────────────────────────────────────────────────────────────

CREATE TABLE usage_record (
  position INTEGER NOT NULL PRIMARY KEY,
  identity BLOB NOT NULL CONSTRAINT usage_record_is_booked_once UNIQUE
    CONSTRAINT usage_record_identity_form CHECK (length(identity) = 16),
  content BLOB NOT NULL CONSTRAINT usage_record_content_form CHECK (length(content) = 16),
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  customer TEXT NOT NULL,
  meter TEXT NOT NULL,
  quantity TEXT NOT NULL,
  occurred_at INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  properties TEXT NOT NULL
) STRICT;

CREATE TRIGGER usage_record_never_changes BEFORE UPDATE ON usage_record
BEGIN SELECT RAISE(ABORT, 'usage records are append-only'); END;
-- It goes only when an archive holds it. The newest stays, as the next is numbered by it.
CREATE TRIGGER usage_record_never_goes BEFORE DELETE ON usage_record
WHEN OLD.position = (SELECT max(position) FROM usage_record)
  OR NOT EXISTS (SELECT 1 FROM archived_record AS a WHERE a.identity = OLD.identity
    AND a.content = OLD.content AND a.position = OLD.position)
BEGIN SELECT RAISE(ABORT, 'usage records are append-only'); END;

-- A copy of a booked record that says something else: kept beside it, for a person to decide.
CREATE TABLE conflicting_record (
  id INTEGER NOT NULL PRIMARY KEY,
  -- The booked record, which may be archived.
  position INTEGER NOT NULL,
  source TEXT NOT NULL,
  record_id TEXT NOT NULL,
  content BLOB NOT NULL,
  customer TEXT NOT NULL,
  meter TEXT NOT NULL,
  quantity TEXT NOT NULL,
  occurred_at INTEGER NOT NULL,
  properties TEXT NOT NULL,
  recorded_at INTEGER NOT NULL,
  -- Which copy a person decided for: the booked one, or this one. Nothing while nobody did.
  decided TEXT CONSTRAINT conflicting_record_decisions CHECK (decided IN ('first', 'second')),
  -- A source that repeats itself adds no rows.
  CONSTRAINT conflicting_record_is_kept_once UNIQUE (position, content)
) STRICT;

-- A correction of a record: it may come before the record it names.
CREATE TABLE correction (
  id INTEGER NOT NULL PRIMARY KEY,
  -- The identity of the record, and its text form.
  identity BLOB NOT NULL CONSTRAINT correction_identity_form CHECK (length(identity) = 16),
  source TEXT NOT NULL,
  record_id TEXT NOT NULL,
  -- The caller's own name for it.
  name TEXT NOT NULL,
  kind TEXT NOT NULL CONSTRAINT correction_kinds CHECK (kind IN ('cancel', 'adjust')),
  -- An adjustment's new quantity, and the quantity it replaces.
  quantity TEXT,
  replaces TEXT,
  reason TEXT NOT NULL,
  who TEXT NOT NULL,
  recorded_at INTEGER NOT NULL,
  CONSTRAINT correction_is_accepted_once UNIQUE (identity, name),
  CONSTRAINT correction_form CHECK
    ((kind = 'adjust') = (quantity IS NOT NULL) AND (kind = 'adjust') = (replaces IS NOT NULL))
) STRICT;

CREATE TRIGGER correction_never_changes BEFORE UPDATE ON correction
BEGIN SELECT RAISE(ABORT, 'corrections are append-only'); END;
CREATE TRIGGER correction_never_goes BEFORE DELETE ON correction
BEGIN SELECT RAISE(ABORT, 'corrections are append-only'); END;

-- What came in as a record and is none.
CREATE TABLE rejected_record (
  id INTEGER NOT NULL PRIMARY KEY,
  digest BLOB NOT NULL CONSTRAINT rejected_record_is_kept_once UNIQUE,
  source TEXT NOT NULL,
  -- The sources that its sender may speak for, a JSON array; NULL where that is all.
  spoke_for TEXT,
  record_id TEXT,
  place TEXT NOT NULL,
  field TEXT NOT NULL,
  reason TEXT NOT NULL,
  -- What came, what it came as, and whether all of it was kept.
  raw TEXT NOT NULL,
  form TEXT NOT NULL CONSTRAINT rejected_record_forms CHECK (form IN
    ('record', 'event', 'row', 'correction')),
  whole INTEGER NOT NULL CONSTRAINT rejected_record_whole_form CHECK (whole IN (0, 1)),
  recorded_at INTEGER NOT NULL,
  -- Nothing while it is open. It ends once: a record in its place is booked, or somebody said that
  -- there is none, and why.
  ended TEXT CONSTRAINT rejected_record_endings CHECK (ended IN ('resubmitted', 'dismissed')),
  -- The record in its place, which may be archived.
  position INTEGER,
  why TEXT,
  who TEXT,
  ended_at INTEGER,
  CONSTRAINT rejected_record_end_form CHECK
    ((ended IS NULL) = (who IS NULL) AND (ended IS NULL) = (ended_at IS NULL)
    AND (ended IS 'resubmitted') = (position IS NOT NULL)
    AND (ended IS 'dismissed') = (why IS NOT NULL))
) STRICT;
CREATE INDEX rejected_record_open ON rejected_record (id) WHERE ended IS NULL;

CREATE TRIGGER rejected_record_is_sealed BEFORE UPDATE OF id, digest, source, spoke_for,
  record_id, place, field, reason, raw, form, whole, recorded_at ON rejected_record
BEGIN SELECT RAISE(ABORT, 'what was rejected is sealed'); END;
CREATE TRIGGER rejected_record_ends_once BEFORE UPDATE ON rejected_record WHEN OLD.ended IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'what was rejected ends once'); END;
CREATE TRIGGER rejected_record_never_goes BEFORE DELETE ON rejected_record
BEGIN SELECT RAISE(ABORT, 'what was rejected is kept'); END;

-- How far each file of a spool was read: it moves in the transaction that books what was read.
CREATE TABLE spool_file (
  id INTEGER NOT NULL PRIMARY KEY,
  spool TEXT NOT NULL,
  -- What the file system knows it by; given again once the file is gone.
  device INTEGER NOT NULL,
  inode INTEGER NOT NULL,
  name TEXT NOT NULL,
  read_to INTEGER NOT NULL,
  line INTEGER NOT NULL,
  mark BLOB NOT NULL,
  size INTEGER NOT NULL,
  begun_at INTEGER NOT NULL,
  read_at INTEGER NOT NULL,
  ended TEXT CONSTRAINT spool_file_ends CHECK (ended IN ('read', 'lost', 'replaced')),
  ended_at INTEGER,
  CONSTRAINT spool_file_place CHECK (read_to >= 0 AND line >= 1 AND size >= 0),
  CONSTRAINT spool_file_ended_when CHECK ((ended IS NULL) = (ended_at IS NULL))
) STRICT;

CREATE UNIQUE INDEX spool_file_is_read_once ON spool_file (spool, device, inode)
WHERE ended IS NULL;

-- ── accrual ─────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE watermark (
  room TEXT NOT NULL PRIMARY KEY CONSTRAINT watermark_rooms CHECK (room IN
    ('accrual', 'corrections')),
  position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far accrual has read the records, by position, and the corrections, by number.
INSERT INTO watermark (room, position) VALUES ('accrual', 0), ('corrections', 0);

CREATE TABLE route_version (
  id INTEGER NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  definition TEXT NOT NULL,
  -- The first journal position that it may have booked.
  applies_from INTEGER NOT NULL,
  adopted_at INTEGER NOT NULL,
  retired_at INTEGER
) STRICT;
CREATE UNIQUE INDEX route_version_in_force ON route_version (name) WHERE retired_at IS NULL;

-- A customer's account at a provider instance, as imported.
CREATE TABLE account (
  provider TEXT NOT NULL,
  customer TEXT NOT NULL,
  account TEXT NOT NULL,
  imported_at INTEGER NOT NULL,
  PRIMARY KEY (provider, customer)
) STRICT, WITHOUT ROWID;

-- What a provider counts: (provider instance, its meter).
CREATE TABLE destination (
  id INTEGER NOT NULL PRIMARY KEY,
  provider TEXT NOT NULL,
  meter TEXT NOT NULL,
  CONSTRAINT destination_is_one UNIQUE (provider, meter)
) STRICT;

CREATE TABLE balance (
  id INTEGER NOT NULL PRIMARY KEY,
  provider TEXT NOT NULL,
  destination_id INTEGER NOT NULL REFERENCES destination (id),
  account TEXT NOT NULL,
  dimensions TEXT NOT NULL,
  window_start INTEGER NOT NULL,
  window_end INTEGER NOT NULL,
  -- The one record it stands for, where records are told one by one; else 0.
  record_position INTEGER NOT NULL,
  accrued TEXT NOT NULL,
  told TEXT NOT NULL,
  digest BLOB NOT NULL CONSTRAINT balance_digest_form CHECK (length(digest) = 16),
  newest_at INTEGER NOT NULL,
  -- The newest booking it holds, and the newest that an event covers.
  booked_to INTEGER NOT NULL,
  told_to INTEGER NOT NULL,
  events INTEGER NOT NULL,
  version INTEGER NOT NULL,
  -- When posting looks at it; nothing when all is told.
  due_at INTEGER,
  -- What posting left untold last, as it is finer than the provider takes.
  finer TEXT NOT NULL,
  -- How what its records stand for comes to what it accrued: all together, the newest, the largest;
  -- the newest of a gauge, whose window ends where its period does; or how many distinct values
  -- they have.
  fold TEXT NOT NULL
    CONSTRAINT balance_folds CHECK (fold IN ('sum', 'last', 'max', 'gauge', 'unique')),
  -- Whether any record counts in it, though that be with nothing; not kept of what adds up.
  reads INTEGER NOT NULL CONSTRAINT balance_reads_form CHECK (reads IN (0, 1)),
  -- The time of the record that counts alone, where the newest does and any counts.
  stands_at INTEGER,
  -- Of a gauge that was a part of another until a bound between them was learned: the event of that
  -- one which was told last within its window. While that event counts as told, it counts here with
  -- all that it says, as no event of this one has said that.
  said_by INTEGER REFERENCES meter_event (id) CONSTRAINT balance_said_by_form
    CHECK (said_by IS NULL OR fold = 'gauge'),
  CONSTRAINT balance_is_its_destination
    UNIQUE (destination_id, account, window_start, window_end, record_position, dimensions),
  CONSTRAINT balance_window_form CHECK (window_start < window_end)
) STRICT;
CREATE INDEX balance_due ON balance (provider, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX balance_gauge ON balance (destination_id, account) WHERE fold = 'gauge';
CREATE INDEX balance_said_by ON balance (said_by) WHERE said_by IS NOT NULL;

-- Which route version booked which record, and where to; and what changed that later. Each line
-- adds its quantity to its balance.
CREATE TABLE booking (
  id INTEGER NOT NULL PRIMARY KEY,
  record_position INTEGER NOT NULL REFERENCES usage_record (position),
  destination_id INTEGER NOT NULL REFERENCES destination (id),
  route_version_id INTEGER NOT NULL REFERENCES route_version (id),
  balance_id INTEGER NOT NULL REFERENCES balance (id),
  quantity TEXT NOT NULL,
  -- Why: the record itself; a correction of it; a write-off, by a resolution; what a correction
  -- takes back of a write-off; a written-off event that was found at the provider; a transfer
  -- to another balance, which is a line in each; or a remap, which takes the record from where the
  -- routes do not lead any longer, and brings it to where they do.
  cause TEXT NOT NULL CONSTRAINT booking_causes CHECK (cause IN ('record', 'correction',
    'write_off', 'reversal', 'presence', 'transfer', 'remap_from', 'remap_to')),
  -- The correction, resolution, correction, event, other line or step of a remap of the cause; 0
  -- for the record itself.
  cause_id INTEGER NOT NULL,
  -- The value that the record is counted by, as a digest, where its route counts distinct values.
  member BLOB CONSTRAINT booking_member_form CHECK (length(member) = 16),
  booked_at INTEGER NOT NULL,
  CONSTRAINT booking_is_made_once UNIQUE (record_position, destination_id, cause, cause_id),
  CONSTRAINT booking_cause_form CHECK ((cause = 'record') = (cause_id = 0))
) STRICT;
CREATE INDEX booking_balance ON booking (balance_id, id);
CREATE INDEX booking_member ON booking (balance_id, member) WHERE member IS NOT NULL;
CREATE INDEX booking_transfer ON booking (balance_id) WHERE cause = 'transfer';
CREATE INDEX booking_written_off ON booking (balance_id) WHERE cause IN ('write_off', 'reversal');

CREATE TRIGGER booking_never_changes BEFORE UPDATE ON booking
BEGIN SELECT RAISE(ABORT, 'bookings are append-only'); END;
CREATE TRIGGER booking_never_goes BEFORE DELETE ON booking
WHEN OLD.id = (SELECT max(id) FROM booking)
  OR NOT EXISTS (SELECT 1 FROM balance_seal AS s
    WHERE s.balance_id = OLD.balance_id AND s.booked_to >= OLD.id)
BEGIN SELECT RAISE(ABORT, 'bookings are append-only'); END;

-- What each value of a balance of distinct values came to by its lines, so that another record of
-- it costs a look at it alone. No fact: it is derived, as what a balance accrued is.
CREATE TABLE balance_member (
  balance_id INTEGER NOT NULL REFERENCES balance (id),
  member BLOB NOT NULL,
  level TEXT NOT NULL,
  PRIMARY KEY (balance_id, member)
) STRICT, WITHOUT ROWID;

-- Records that wait in front of a route; the empty route name stands for "no route matched".
CREATE TABLE parked_record (
  record_position INTEGER NOT NULL REFERENCES usage_record (position),
  route TEXT NOT NULL,
  reason TEXT NOT NULL CONSTRAINT parked_record_reasons CHECK (reason IN
    ('no_route', 'no_account', 'account_malformed', 'destination_taken', 'no_member',
    'remapped_away', 'other_aggregate')),
  detail TEXT NOT NULL,
  parked_at INTEGER NOT NULL,
  mapping_version INTEGER NOT NULL,
  PRIMARY KEY (record_position, route)
) STRICT, WITHOUT ROWID;
CREATE INDEX parked_record_review ON parked_record (mapping_version, record_position);

-- History that is to be booked as the routes lead by now, as a person asked after a preview: the
-- records up to a journal position that pass the filter.
CREATE TABLE remap (
  id INTEGER NOT NULL PRIMARY KEY,
  source TEXT,
  customer TEXT,
  meter TEXT,
  from_at INTEGER,
  until_at INTEGER,
  -- The routes and accounts of the preview: under others it is given up.
  mapping_version INTEGER NOT NULL,
  to_position INTEGER NOT NULL CONSTRAINT remap_place CHECK (to_position >= 0),
  why TEXT NOT NULL,
  who TEXT NOT NULL,
  asked_at INTEGER NOT NULL
) STRICT;

-- How far a remap is; what its lines are of.
CREATE TABLE remap_step (
  id INTEGER NOT NULL PRIMARY KEY,
  remap_id INTEGER NOT NULL REFERENCES remap (id),
  -- The records of (from_position, to_position], as all corrections up to this one have them.
  from_position INTEGER NOT NULL,
  to_position INTEGER NOT NULL,
  corrected_to INTEGER NOT NULL,
  -- Records whose lines changed, and those that were left as they are.
  changed INTEGER NOT NULL,
  left_alone INTEGER NOT NULL,
  -- How it ended, at the last step; and who stopped it, and why, where a person did.
  ended TEXT CONSTRAINT remap_step_endings CHECK (ended IN
    ('done', 'outdated', 'restored', 'stopped')),
  who TEXT,
  why TEXT,
  made_at INTEGER NOT NULL,
  CONSTRAINT remap_step_goes_on CHECK (from_position <= to_position),
  CONSTRAINT remap_step_is_stopped_by_somebody CHECK
    ((ended IS 'stopped') = (who IS NOT NULL) AND (who IS NULL) = (why IS NULL))
) STRICT;
CREATE INDEX remap_step_remap ON remap_step (remap_id, id);
CREATE UNIQUE INDEX remap_step_ends_once ON remap_step (remap_id) WHERE ended IS NOT NULL;

CREATE TRIGGER remap_never_changes BEFORE UPDATE ON remap
BEGIN SELECT RAISE(ABORT, 'remaps are append-only'); END;
CREATE TRIGGER remap_never_goes BEFORE DELETE ON remap
BEGIN SELECT RAISE(ABORT, 'remaps are append-only'); END;
CREATE TRIGGER remap_step_never_changes BEFORE UPDATE ON remap_step
BEGIN SELECT RAISE(ABORT, 'steps of remaps are append-only'); END;
CREATE TRIGGER remap_step_never_goes BEFORE DELETE ON remap_step
BEGIN SELECT RAISE(ABORT, 'steps of remaps are append-only'); END;

-- Who is heard of, and how often: the longest gap between two arrivals that ended in a week, as a
-- JSON array of [week, microseconds], oldest first. No fact: nothing that is billed rests on it.
CREATE TABLE cadence (
  kind TEXT NOT NULL CONSTRAINT cadence_kinds CHECK (kind IN ('source', 'meter', 'customer')),
  name TEXT NOT NULL,
  -- The source of its newest record.
  source TEXT NOT NULL,
  heard_at INTEGER NOT NULL,
  gaps TEXT NOT NULL,
  -- Since when the log says that it is silent.
  told_at INTEGER,
  PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- When it was last noted that a daemon listens, and when none did.
CREATE TABLE attention (
  one INTEGER NOT NULL PRIMARY KEY CONSTRAINT attention_is_one CHECK (one = 1),
  noted_at INTEGER NOT NULL
) STRICT;
CREATE TABLE absence (
  start_at INTEGER NOT NULL PRIMARY KEY,
  end_at INTEGER NOT NULL,
  CONSTRAINT absence_form CHECK (start_at < end_at)
) STRICT;

-- ── posting ─────────────────────────────────────────────────────────────────────────────────────

-- One request in flight per customer and meter: a lane.
CREATE TABLE lane (
  id INTEGER NOT NULL PRIMARY KEY,
  provider TEXT NOT NULL,
  destination_id INTEGER NOT NULL REFERENCES destination (id),
  account TEXT NOT NULL,
  -- The event in flight.
  event_id INTEGER REFERENCES meter_event (id),
  -- When the provider's total was last compared, and how finely it has to be asked for next.
  checked_at INTEGER,
  check_grouping TEXT NOT NULL DEFAULT 'whole'
    CONSTRAINT lane_groupings CHECK (check_grouping IN ('whole', 'day', 'hour')),
  -- Of the events that wait: the earliest next try, whether one is unknown (0) or none (1), and the
  -- deadline of the one that goes next. Nothing when none waits.
  next_attempt_at INTEGER,
  urgency INTEGER,
  deadline_at INTEGER,
  CONSTRAINT lane_is_one UNIQUE (destination_id, account)
) STRICT;
CREATE INDEX lane_ready ON lane (provider, urgency, deadline_at)
  WHERE event_id IS NULL AND next_attempt_at IS NOT NULL;
-- Accounts that are being told something.
CREATE INDEX lane_busy ON lane (provider, account) WHERE event_id IS NOT NULL;

CREATE TABLE legal_move (
  from_state TEXT NOT NULL,
  to_state TEXT NOT NULL,
  PRIMARY KEY (from_state, to_state)
) STRICT, WITHOUT ROWID;

INSERT INTO legal_move (from_state, to_state) VALUES
  ('pending', 'in_flight'), ('pending', 'void'), ('pending', 'held'),
  ('in_flight', 'accepted'), ('in_flight', 'pending'), ('in_flight', 'unknown'),
  ('in_flight', 'held'),
  ('unknown', 'in_flight'), ('unknown', 'held'), ('unknown', 'settled'),
  ('accepted', 'settled'), ('accepted', 'held'), ('accepted', 'superseded'),
  ('settled', 'held'),
  ('held', 'pending'), ('held', 'settled'), ('held', 'superseded'), ('held', 'dead'),
  ('superseded', 'settled'), ('dead', 'settled');

CREATE TABLE meter_event (
  id INTEGER NOT NULL PRIMARY KEY,
  balance_id INTEGER NOT NULL REFERENCES balance (id),
  lane_id INTEGER NOT NULL REFERENCES lane (id),
  ordinal INTEGER NOT NULL CONSTRAINT meter_event_ordinal_form CHECK (ordinal > 0),
  kind TEXT NOT NULL CONSTRAINT meter_event_kinds CHECK (kind IN ('usage', 'cancel')),
  -- The event that a cancel takes back.
  target_id INTEGER REFERENCES meter_event (id),
  -- The bookings it covers: those of its balance in (covers_from, covers_to].
  covers_from INTEGER NOT NULL,
  covers_to INTEGER NOT NULL,
  identifier TEXT NOT NULL CONSTRAINT meter_event_identifier_is_one UNIQUE
    CONSTRAINT meter_event_identifier_form CHECK (length(identifier) BETWEEN 1 AND 100),
  quantity TEXT NOT NULL,
  -- Where the meter keeps the last total that it was told: the one that this says.
  total TEXT CONSTRAINT meter_event_total_is_of_usage CHECK (total IS NULL OR kind = 'usage'),
  occurred_at INTEGER NOT NULL,
  -- Where the provider keeps entries: the second that it is entered at.
  second INTEGER,
  body BLOB NOT NULL,
  deadline_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  state TEXT NOT NULL CONSTRAINT meter_event_states CHECK (state IN ('pending', 'in_flight',
    'unknown', 'accepted', 'settled', 'held', 'void', 'superseded', 'dead')),
  moved_at INTEGER NOT NULL,
  why TEXT NOT NULL,
  hold_reason TEXT CONSTRAINT meter_event_hold_reasons CHECK (hold_reason IN ('no_meter',
    'value_refused', 'too_old_refused', 'ahead_refused', 'refused', 'may_exist',
    'identifier_conflict', 'key_conflict', 'window_passed', 'deadline_passed', 'cannot_lower',
    'meter_mismatch', 'below_zero', 'correction_policy', 'late_for_period', 'no_period',
    'entries_used_up', 'bill_from', 'spike', 'disproved', 'restored', 'exported')),
  hold_detail TEXT,
  -- Whether some attempt may have landed.
  ambiguous INTEGER NOT NULL CONSTRAINT meter_event_ambiguous_form CHECK (ambiguous IN (0, 1)),
  generation INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  -- On the provider's clock: no later than the first attempt; no earlier than the last could land.
  first_attempt_at INTEGER,
  last_attempt_at INTEGER,
  -- On this host's clock.
  next_attempt_at INTEGER,
  -- The run and the attempt of the lease.
  epoch INTEGER,
  attempt_id INTEGER,
  CONSTRAINT meter_event_ordinal_is_one UNIQUE (balance_id, ordinal),
  CONSTRAINT meter_event_cancel_names_its_target CHECK
    ((kind = 'cancel') = (target_id IS NOT NULL)),
  CONSTRAINT meter_event_covers_form CHECK (covers_from <= covers_to),
  CONSTRAINT meter_event_second_is_its_own CHECK
    (second IS NULL OR (kind = 'usage' AND occurred_at = second * 1000000)),
  CONSTRAINT meter_event_held_says_why CHECK
    ((state = 'held') = (hold_reason IS NOT NULL) AND (state = 'held') = (hold_detail IS NOT NULL)),
  CONSTRAINT meter_event_lease_form CHECK
    ((state = 'in_flight') = (epoch IS NOT NULL)
      AND (state = 'in_flight') = (attempt_id IS NOT NULL)),
  CONSTRAINT meter_event_wait_form CHECK
    ((state IN ('pending', 'unknown')) = (next_attempt_at IS NOT NULL)),
  CONSTRAINT meter_event_pending_never_landed CHECK (state <> 'pending' OR ambiguous = 0),
  CONSTRAINT meter_event_unknown_may_exist CHECK (state <> 'unknown' OR ambiguous = 1),
  CONSTRAINT meter_event_void_never_left CHECK (state <> 'void' OR attempts = 0),
  CONSTRAINT meter_event_clocks_form CHECK
    ((attempts = 0) = (first_attempt_at IS NULL) AND (attempts = 0) = (last_attempt_at IS NULL))
) STRICT;
CREATE INDEX meter_event_waits ON meter_event (lane_id, ambiguous DESC, deadline_at, id)
  WHERE state IN ('pending', 'unknown');
CREATE INDEX meter_event_next ON meter_event (lane_id, next_attempt_at)
  WHERE state IN ('pending', 'unknown');
CREATE INDEX meter_event_in_flight ON meter_event (lane_id) WHERE state = 'in_flight';
CREATE INDEX meter_event_held ON meter_event (moved_at) WHERE state = 'held';
-- What a provider's total may or may not contain yet, by lane.
CREATE INDEX meter_event_unproven ON meter_event (lane_id, occurred_at)
  WHERE state IN ('unknown', 'accepted', 'held');
CREATE INDEX meter_event_time ON meter_event (lane_id, occurred_at);
-- No second of a lane is ever entered at twice.
CREATE UNIQUE INDEX meter_event_second ON meter_event (lane_id, second) WHERE second IS NOT NULL;
-- At most one cancel of an event lives.
CREATE UNIQUE INDEX meter_event_cancel ON meter_event (target_id)
  WHERE target_id IS NOT NULL AND state NOT IN ('void', 'superseded', 'dead');

CREATE TRIGGER meter_event_content_never_changes BEFORE UPDATE OF balance_id, ordinal, kind,
  target_id, covers_from, covers_to, identifier, quantity, occurred_at, second, body,
  created_at ON meter_event
BEGIN SELECT RAISE(ABORT, 'what a meter event says is sealed'); END;
CREATE TRIGGER meter_event_never_goes BEFORE DELETE ON meter_event
BEGIN SELECT RAISE(ABORT, 'meter events are append-only'); END;
CREATE TRIGGER meter_event_moves_legally BEFORE UPDATE OF state ON meter_event
WHEN OLD.state <> NEW.state AND NOT EXISTS (SELECT 1 FROM legal_move
  WHERE from_state = OLD.state AND to_state = NEW.state)
BEGIN SELECT RAISE(ABORT, 'the state machine has no such move'); END;

-- Every move, appended by the database itself, so that no statement can forget it.
CREATE TABLE event_move (
  id INTEGER NOT NULL PRIMARY KEY,
  event_id INTEGER NOT NULL,
  from_state TEXT NOT NULL,
  to_state TEXT NOT NULL,
  why TEXT NOT NULL,
  moved_at INTEGER NOT NULL
) STRICT;
CREATE INDEX event_move_event ON event_move (event_id, id);

CREATE TRIGGER meter_event_begins AFTER INSERT ON meter_event
BEGIN
  INSERT INTO event_move (event_id, from_state, to_state, why, moved_at)
  VALUES (NEW.id, '', NEW.state, NEW.why, NEW.moved_at);
END;
CREATE TRIGGER meter_event_moves AFTER UPDATE OF state ON meter_event
BEGIN
  INSERT INTO event_move (event_id, from_state, to_state, why, moved_at)
  VALUES (NEW.id, OLD.state, NEW.state, NEW.why, NEW.moved_at);
END;
CREATE TRIGGER event_move_never_changes BEFORE UPDATE ON event_move
BEGIN SELECT RAISE(ABORT, 'moves are append-only'); END;
CREATE TRIGGER event_move_never_goes BEFORE DELETE ON event_move
BEGIN SELECT RAISE(ABORT, 'moves are append-only'); END;

-- A balance with something outstanding that cannot be told.
CREATE TABLE balance_hold (
  balance_id INTEGER NOT NULL PRIMARY KEY REFERENCES balance (id),
  reason TEXT NOT NULL CONSTRAINT balance_hold_reasons CHECK (reason IN
    ('no_meter', 'cannot_lower', 'meter_mismatch', 'deadline_passed', 'below_zero',
     'correction_policy', 'late_for_period', 'no_period', 'entries_used_up', 'bill_from',
     'spike')),
  detail TEXT NOT NULL,
  since INTEGER NOT NULL
) STRICT;

-- ── delivery ────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE attempt (
  id INTEGER NOT NULL PRIMARY KEY,
  event_id INTEGER NOT NULL REFERENCES meter_event (id),
  number INTEGER NOT NULL,
  idempotency_key TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  begun_at INTEGER NOT NULL,
  CONSTRAINT attempt_number_is_one UNIQUE (event_id, number)
) STRICT;

CREATE TABLE receipt (
  attempt_id INTEGER NOT NULL PRIMARY KEY REFERENCES attempt (id),
  outcome TEXT NOT NULL CONSTRAINT receipt_outcomes CHECK (outcome IN ('accepted', 'duplicate',
    'refused', 'busy', 'rate_limited', 'unauthorized', 'not_sent', 'failed', 'unknown',
    'wrong_account')),
  status INTEGER,
  request_id TEXT,
  code TEXT,
  message TEXT,
  provider_at INTEGER,
  answered_at INTEGER NOT NULL
) STRICT;

CREATE TRIGGER attempt_never_changes BEFORE UPDATE ON attempt
BEGIN SELECT RAISE(ABORT, 'attempts are append-only'); END;
CREATE TRIGGER attempt_never_goes BEFORE DELETE ON attempt
BEGIN SELECT RAISE(ABORT, 'attempts are append-only'); END;
CREATE TRIGGER receipt_never_changes BEFORE UPDATE ON receipt
BEGIN SELECT RAISE(ABORT, 'receipts are append-only'); END;
CREATE TRIGGER receipt_never_goes BEFORE DELETE ON receipt
BEGIN SELECT RAISE(ABORT, 'receipts are append-only'); END;

CREATE TABLE provider (
  name TEXT NOT NULL PRIMARY KEY,
  -- Nothing where the key may not read it; the mode is always known.
  account TEXT,
  livemode INTEGER CONSTRAINT provider_livemode_form CHECK (livemode IN (0, 1)),
  pinned_at INTEGER,
  -- The newest reading of its clock, and this host's clock at that moment.
  clock_provider_at INTEGER,
  clock_local_at INTEGER,
  pause_reason TEXT,
  paused_at INTEGER,
  CONSTRAINT provider_pin_form CHECK
    ((livemode IS NULL) = (pinned_at IS NULL) AND (account IS NULL OR livemode IS NOT NULL)),
  CONSTRAINT provider_clock_form CHECK ((clock_provider_at IS NULL) = (clock_local_at IS NULL)),
  CONSTRAINT provider_pause_form CHECK ((pause_reason IS NULL) = (paused_at IS NULL))
) STRICT, WITHOUT ROWID;

-- How each provider instance was told, since when: the newest row counts. bill_from says from which
-- instants on, as JSON: of all, by meter, by account.
CREATE TABLE telling (
  id INTEGER NOT NULL PRIMARY KEY,
  provider TEXT NOT NULL,
  mode TEXT NOT NULL CONSTRAINT telling_modes CHECK (mode IN ('live', 'shadow')),
  bill_from TEXT NOT NULL,
  adopted_at INTEGER NOT NULL
) STRICT;
CREATE INDEX telling_provider ON telling (provider, id);

CREATE TRIGGER telling_never_changes BEFORE UPDATE ON telling
BEGIN SELECT RAISE(ABORT, 'how a provider was told is append-only'); END;
CREATE TRIGGER telling_never_goes BEFORE DELETE ON telling
BEGIN SELECT RAISE(ABORT, 'how a provider was told is append-only'); END;

-- In shadow nothing is made to be told, and nothing is tried, whoever asks for it.
CREATE TRIGGER meter_event_is_not_made_in_shadow BEFORE INSERT ON meter_event
WHEN (SELECT t.mode FROM balance AS b JOIN telling AS t ON t.provider = b.provider
  WHERE b.id = NEW.balance_id ORDER BY t.id DESC LIMIT 1) = 'shadow'
BEGIN SELECT RAISE(ABORT, 'nothing is made to be told in shadow'); END;
CREATE TRIGGER attempt_is_not_begun_in_shadow BEFORE INSERT ON attempt
WHEN (SELECT t.mode FROM meter_event AS e JOIN balance AS b ON b.id = e.balance_id
  JOIN telling AS t ON t.provider = b.provider
  WHERE e.id = NEW.event_id ORDER BY t.id DESC LIMIT 1) = 'shadow'
BEGIN SELECT RAISE(ABORT, 'nothing is sent in shadow'); END;

CREATE TABLE provider_meter (
  provider TEXT NOT NULL,
  meter TEXT NOT NULL,
  id TEXT,
  formula TEXT NOT NULL
    CONSTRAINT provider_meter_formulas CHECK (formula IN ('sum', 'count', 'last')),
  customer_key TEXT NOT NULL,
  value_key TEXT NOT NULL,
  span TEXT CONSTRAINT provider_meter_spans CHECK (span IN ('hour', 'day')),
  active INTEGER NOT NULL CONSTRAINT provider_meter_active_form CHECK (active IN (0, 1)),
  learned INTEGER NOT NULL CONSTRAINT provider_meter_learned_form CHECK (learned IN (0, 1)),
  pinned_at INTEGER NOT NULL,
  PRIMARY KEY (provider, meter)
) STRICT, WITHOUT ROWID;

-- ── what the provider bills ─────────────────────────────────────────────────────────────────────

-- Subscriptions as the provider told them last. `name` is the provider's; asked_at: when one was
-- last asked for, because its time had come.
CREATE TABLE subscription (
  id INTEGER NOT NULL PRIMARY KEY,
  provider TEXT NOT NULL,
  name TEXT NOT NULL,
  account TEXT NOT NULL,
  status TEXT NOT NULL
    CONSTRAINT subscription_states CHECK (status IN ('billing', 'paused', 'ended')),
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  ends_at INTEGER,
  learned_at INTEGER NOT NULL,
  asked_at INTEGER,
  CONSTRAINT subscription_is_one UNIQUE (provider, name)
) STRICT;

-- A span of usage that one invoice of a subscription bills of a meter. Bounds, and when its draft
-- becomes final, are on the provider's clock.
CREATE TABLE billing_period (
  id INTEGER NOT NULL PRIMARY KEY,
  subscription_id INTEGER NOT NULL REFERENCES subscription (id),
  provider TEXT NOT NULL,
  account TEXT NOT NULL,
  meter TEXT NOT NULL,
  start_at INTEGER NOT NULL,
  end_at INTEGER NOT NULL,
  closes_at INTEGER,
  closed_at INTEGER,
  invoice TEXT,
  -- How much was billed of it.
  billed TEXT,
  learned_at INTEGER NOT NULL,
  -- When what was billed was compared with what was told, since it was learned so.
  compared_at INTEGER,
  CONSTRAINT billing_period_is_one UNIQUE (subscription_id, meter, start_at),
  CONSTRAINT billing_period_form CHECK (start_at < end_at),
  CONSTRAINT billing_period_closes_with_its_invoice CHECK
    ((closes_at IS NULL AND closed_at IS NULL) OR invoice IS NOT NULL),
  CONSTRAINT billing_period_bills_when_closed CHECK ((closed_at IS NULL) = (billed IS NULL)),
  CONSTRAINT billing_period_compared_when_billed CHECK
    (compared_at IS NULL OR billed IS NOT NULL)
) STRICT;
CREATE INDEX billing_period_place ON billing_period (provider, account, meter, start_at);
CREATE INDEX billing_period_open ON billing_period (provider, end_at) WHERE closed_at IS NULL;
CREATE INDEX billing_period_invoice ON billing_period (provider, invoice)
  WHERE invoice IS NOT NULL;
CREATE INDEX billing_period_uncompared ON billing_period (provider, id)
  WHERE billed IS NOT NULL AND compared_at IS NULL;

-- Times of a subscription in which usage is stored by the provider and on no bill, whatever its
-- periods say; one that goes on has no end.
CREATE TABLE idle_time (
  provider TEXT NOT NULL,
  account TEXT NOT NULL,
  start_at INTEGER NOT NULL,
  subscription_id INTEGER NOT NULL REFERENCES subscription (id),
  end_at INTEGER,
  PRIMARY KEY (provider, account, start_at, subscription_id),
  CONSTRAINT idle_time_form CHECK (end_at IS NULL OR start_at < end_at)
) STRICT, WITHOUT ROWID;

-- How far each list of what a provider announces, or bills, was read.
CREATE TABLE feed (
  provider TEXT NOT NULL,
  name TEXT NOT NULL,
  read_to INTEGER NOT NULL,
  read_at INTEGER NOT NULL,
  PRIMARY KEY (provider, name)
) STRICT, WITHOUT ROWID;

-- ── reconciliation ──────────────────────────────────────────────────────────────────────────────

-- What a provider's total was seen to be.
CREATE TABLE reading (
  id INTEGER NOT NULL PRIMARY KEY,
  lane_id INTEGER NOT NULL REFERENCES lane (id),
  start_at INTEGER NOT NULL,
  end_at INTEGER NOT NULL,
  total TEXT NOT NULL,
  -- Over the lane's events of that span: which there were, and what each had been through.
  fingerprint BLOB NOT NULL
    CONSTRAINT reading_fingerprint_form CHECK (length(fingerprint) = 16),
  provider_at INTEGER NOT NULL,
  read_at INTEGER NOT NULL,
  finding TEXT NOT NULL CONSTRAINT reading_findings CHECK (finding IN
    ('settled', 'first_seen', 'early', 'ambiguous', 'unexplained', 'incomparable')),
  detail TEXT NOT NULL,
  CONSTRAINT reading_span_form CHECK (start_at < end_at)
) STRICT;
CREATE INDEX reading_span ON reading (lane_id, start_at, end_at, id);
CREATE INDEX reading_lane ON reading (lane_id, read_at);

CREATE TRIGGER reading_never_changes BEFORE UPDATE ON reading
BEGIN SELECT RAISE(ABORT, 'readings are append-only'); END;
CREATE TRIGGER reading_never_goes BEFORE DELETE ON reading
BEGIN SELECT RAISE(ABORT, 'readings are append-only'); END;

-- What a provider held of a time that another program told: of a period before bill_from, read
-- once, or of a UTC day in shadow, of which the newest counts. Where a period begins within the
-- grain of totals, the least and the most that it may be.
CREATE TABLE foreign_total (
  id INTEGER NOT NULL PRIMARY KEY,
  provider TEXT NOT NULL,
  account TEXT NOT NULL,
  meter TEXT NOT NULL,
  kind TEXT NOT NULL CONSTRAINT foreign_total_kinds CHECK (kind IN ('opening', 'shadow')),
  start_at INTEGER NOT NULL,
  end_at INTEGER NOT NULL,
  low TEXT NOT NULL,
  high TEXT NOT NULL,
  provider_at INTEGER NOT NULL,
  read_at INTEGER NOT NULL,
  CONSTRAINT foreign_total_form CHECK (start_at < end_at)
) STRICT;
CREATE INDEX foreign_total_place ON foreign_total (provider, account, meter, kind, start_at, id);
CREATE UNIQUE INDEX foreign_total_opening ON foreign_total
  (provider, account, meter, start_at, end_at) WHERE kind = 'opening';

CREATE TRIGGER foreign_total_never_changes BEFORE UPDATE ON foreign_total
BEGIN SELECT RAISE(ABORT, 'what was read is append-only'); END;
CREATE TRIGGER foreign_total_never_goes BEFORE DELETE ON foreign_total
BEGIN SELECT RAISE(ABORT, 'what was read is append-only'); END;

-- Requests for totals, by UTC day: providers ration them.
CREATE TABLE read_calls (
  provider TEXT NOT NULL,
  day INTEGER NOT NULL,
  calls INTEGER NOT NULL,
  PRIMARY KEY (provider, day)
) STRICT, WITHOUT ROWID;

-- A comparison of all that a question names with a provider's totals, and what it came to.
CREATE TABLE reconcile_run (
  id INTEGER NOT NULL PRIMARY KEY,
  provider TEXT NOT NULL,
  -- Only this account, and this meter, where one was named.
  account TEXT,
  meter TEXT,
  range_start INTEGER NOT NULL,
  range_end INTEGER NOT NULL,
  begun_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  -- Requests for totals that it took, and the fewest that it could have taken.
  calls INTEGER NOT NULL,
  calls_min INTEGER NOT NULL,
  compared INTEGER NOT NULL,
  agreed INTEGER NOT NULL,
  CONSTRAINT reconcile_run_range_form CHECK (range_start < range_end)
) STRICT;

-- What it found to differ. The account is not known of usage that waits in front of a route.
CREATE TABLE drift (
  id INTEGER NOT NULL PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES reconcile_run (id),
  account TEXT,
  meter TEXT NOT NULL,
  start_at INTEGER NOT NULL,
  end_at INTEGER NOT NULL,
  kind TEXT NOT NULL CONSTRAINT drift_kinds CHECK (kind IN
    ('missing', 'excess', 'unknown_remote', 'unmapped', 'late', 'unverifiable', 'unbilled')),
  quantity TEXT NOT NULL,
  detail TEXT NOT NULL,
  -- What could make it up, as a JSON array.
  suspects TEXT NOT NULL,
  CONSTRAINT drift_span_form CHECK (start_at < end_at)
) STRICT;
CREATE INDEX drift_run ON drift (run_id, id);

CREATE TRIGGER reconcile_run_never_changes BEFORE UPDATE ON reconcile_run
BEGIN SELECT RAISE(ABORT, 'runs are append-only'); END;
CREATE TRIGGER reconcile_run_never_goes BEFORE DELETE ON reconcile_run
BEGIN SELECT RAISE(ABORT, 'runs are append-only'); END;
CREATE TRIGGER drift_never_changes BEFORE UPDATE ON drift
BEGIN SELECT RAISE(ABORT, 'drifts are append-only'); END;
CREATE TRIGGER drift_never_goes BEFORE DELETE ON drift
BEGIN SELECT RAISE(ABORT, 'drifts are append-only'); END;

-- ── notices ─────────────────────────────────────────────────────────────────────────────────────

-- What a provider announced, as it came, and what became of it. It is a hint, and no fact that the
-- books rest on: it goes once it was concluded long ago.
CREATE TABLE notice (
  id INTEGER NOT NULL PRIMARY KEY,
  provider TEXT NOT NULL,
  -- The provider's name for it; and the name under which both forms of an announcement are one.
  event TEXT NOT NULL,
  announcement TEXT NOT NULL,
  kind TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  livemode INTEGER NOT NULL CONSTRAINT notice_livemode_form CHECK (livemode IN (0, 1)),
  -- What it is about.
  object_kind TEXT,
  object_id TEXT,
  came_by TEXT NOT NULL CONSTRAINT notice_ways CHECK (came_by IN ('webhook', 'poll')),
  received_at INTEGER NOT NULL,
  state TEXT NOT NULL
    CONSTRAINT notice_states CHECK (state IN ('waiting', 'acted', 'ignored')),
  concluded_at INTEGER,
  why TEXT NOT NULL,
  -- How often it came again.
  duplicates INTEGER NOT NULL,
  body TEXT NOT NULL,
  CONSTRAINT notice_is_kept_once UNIQUE (provider, event),
  CONSTRAINT notice_is_announced_once UNIQUE (provider, announcement),
  CONSTRAINT notice_object_form CHECK ((object_kind IS NULL) = (object_id IS NULL)),
  CONSTRAINT notice_conclusion_form CHECK ((state = 'waiting') = (concluded_at IS NULL))
) STRICT;
CREATE INDEX notice_standing ON notice (state, provider, received_at);
CREATE INDEX notice_concluded ON notice (concluded_at) WHERE concluded_at IS NOT NULL;

CREATE TRIGGER notice_content_never_changes BEFORE UPDATE OF id, provider, event, announcement,
  kind, created_at, livemode, object_kind, object_id, came_by, received_at, body ON notice
BEGIN SELECT RAISE(ABORT, 'what a notice says is sealed'); END;
CREATE TRIGGER notice_is_concluded_once BEFORE UPDATE OF state, concluded_at, why ON notice
WHEN OLD.state <> 'waiting'
BEGIN SELECT RAISE(ABORT, 'a notice is concluded once'); END;
CREATE TRIGGER notice_that_waits_never_goes BEFORE DELETE ON notice
WHEN OLD.state = 'waiting'
BEGIN SELECT RAISE(ABORT, 'a notice that waits does not go'); END;

-- ── exports ─────────────────────────────────────────────────────────────────────────────────────

-- Events that files tell, which a person uploads. What was asked for is JSON.
CREATE TABLE export (
  id INTEGER NOT NULL PRIMARY KEY,
  provider TEXT NOT NULL,
  form TEXT NOT NULL CONSTRAINT export_forms CHECK (form IN ('stripe-csv', 'stripe-s3-jsonl')),
  -- The account that the files are for, as it was pinned; nothing where the key may not read it.
  account TEXT,
  livemode INTEGER NOT NULL CONSTRAINT export_livemode_form CHECK (livemode IN (0, 1)),
  asked TEXT NOT NULL,
  who TEXT NOT NULL,
  made_at INTEGER NOT NULL
) STRICT;

-- Which events are in it, in the order of its files.
CREATE TABLE export_event (
  export_id INTEGER NOT NULL REFERENCES export (id),
  destination_id INTEGER NOT NULL REFERENCES destination (id),
  event_id INTEGER NOT NULL REFERENCES meter_event (id),
  PRIMARY KEY (export_id, destination_id, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX export_event_event ON export_event (event_id, export_id);

-- What became of it. Files are told by their number, and by the SHA-256 of all their bytes.
CREATE TABLE export_step (
  id INTEGER NOT NULL PRIMARY KEY,
  export_id INTEGER NOT NULL REFERENCES export (id),
  step TEXT NOT NULL CONSTRAINT export_steps CHECK (step IN
    ('sealed', 'written', 'confirmed', 'abandoned')),
  files INTEGER,
  digest TEXT,
  why TEXT NOT NULL,
  who TEXT NOT NULL,
  noted_at INTEGER NOT NULL,
  CONSTRAINT export_step_is_noted_once UNIQUE (export_id, step),
  CONSTRAINT export_step_form CHECK
    ((step = 'written') = (files IS NOT NULL) AND (step = 'written') = (digest IS NOT NULL))
) STRICT;

CREATE TRIGGER export_never_changes BEFORE UPDATE ON export
BEGIN SELECT RAISE(ABORT, 'exports are append-only'); END;
CREATE TRIGGER export_never_goes BEFORE DELETE ON export
BEGIN SELECT RAISE(ABORT, 'exports are append-only'); END;
CREATE TRIGGER export_event_never_changes BEFORE UPDATE ON export_event
BEGIN SELECT RAISE(ABORT, 'what is in an export is append-only'); END;
CREATE TRIGGER export_event_never_goes BEFORE DELETE ON export_event
BEGIN SELECT RAISE(ABORT, 'what is in an export is append-only'); END;
CREATE TRIGGER export_is_sealed BEFORE INSERT ON export_event
WHEN EXISTS (SELECT 1 FROM export_step WHERE export_id = NEW.export_id)
BEGIN SELECT RAISE(ABORT, 'no more events go into a sealed export'); END;
CREATE TRIGGER export_step_never_changes BEFORE UPDATE ON export_step
BEGIN SELECT RAISE(ABORT, 'the steps of exports are append-only'); END;
CREATE TRIGGER export_step_never_goes BEFORE DELETE ON export_step
BEGIN SELECT RAISE(ABORT, 'the steps of exports are append-only'); END;

-- ── usage, as it is asked for ───────────────────────────────────────────────────────────────────

-- How records of a meter are told apart, and how far they are counted: all of them up to a
-- position, as all corrections up to one have them. An empty bucket stands for "not told apart".
CREATE TABLE usage_view (
  id INTEGER NOT NULL PRIMARY KEY,
  meter TEXT NOT NULL,
  -- The properties that say a record's bucket and subscription.
  bucket TEXT NOT NULL,
  subscription TEXT NOT NULL,
  is_timed INTEGER NOT NULL CONSTRAINT usage_view_timed_form CHECK (is_timed IN (0, 1)),
  position INTEGER NOT NULL,
  corrected_to INTEGER NOT NULL,
  -- What occurred before this may have been archived before the view was made.
  archived_before INTEGER,
  -- Nobody asks for it any more; its sums go bit by bit, and then it.
  is_retired INTEGER NOT NULL CONSTRAINT usage_view_retired_form CHECK (is_retired IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX usage_view_is_one ON usage_view (meter, bucket, subscription, is_timed)
  WHERE is_retired = 0;

-- What records come to: of all time, of a day, of an hour, of an instant. No fact: a view can be
-- derived from the records again, but for those that are archived. An empty bucket or subscription
-- stands for none.
CREATE TABLE usage_sum (
  view_id INTEGER NOT NULL REFERENCES usage_view (id),
  customer TEXT NOT NULL,
  grain TEXT NOT NULL
    CONSTRAINT usage_sum_grains CHECK (grain IN ('all', 'day', 'hour', 'instant')),
  start_at INTEGER NOT NULL,
  bucket TEXT NOT NULL,
  subscription TEXT NOT NULL,
  quantity TEXT NOT NULL,
  records INTEGER NOT NULL CONSTRAINT usage_sum_is_of_records CHECK (records > 0),
  PRIMARY KEY (view_id, customer, grain, start_at, bucket, subscription)
) STRICT, WITHOUT ROWID;

-- ── people ──────────────────────────────────────────────────────────────────────────────────────

-- What a person decided of something held.
CREATE TABLE resolution (
  id INTEGER NOT NULL PRIMARY KEY,
  item TEXT NOT NULL
    CONSTRAINT resolution_items CHECK (item IN ('event', 'balance', 'conflict')),
  item_id INTEGER NOT NULL,
  verdict TEXT NOT NULL CONSTRAINT resolution_verdicts CHECK (verdict IN
    ('billed', 'not_billed', 'write_off', 'told_before', 'confirmed', 'first', 'second')),
  -- The quantity it decided over: what is held; of what is confirmed, all that the balance comes
  -- to.
  quantity TEXT NOT NULL,
  why TEXT NOT NULL,
  who TEXT NOT NULL,
  resolved_at INTEGER NOT NULL
) STRICT;
CREATE INDEX resolution_item ON resolution (item, item_id);
CREATE INDEX resolution_told_before ON resolution (item_id) WHERE verdict = 'told_before';

CREATE TRIGGER resolution_never_changes BEFORE UPDATE ON resolution
BEGIN SELECT RAISE(ABORT, 'resolutions are append-only'); END;
CREATE TRIGGER resolution_never_goes BEFORE DELETE ON resolution
BEGIN SELECT RAISE(ABORT, 'resolutions are append-only'); END;

-- ── archives ────────────────────────────────────────────────────────────────────────────────────

-- A file that settled records went to, with their bookings. It is whole and on disk before its row
-- is made; what it holds is gone from here once it is done.
CREATE TABLE archive (
  id INTEGER NOT NULL PRIMARY KEY,
  path TEXT NOT NULL,
  -- What it holds is of windows that ended before this.
  before_at INTEGER NOT NULL,
  records INTEGER NOT NULL,
  bookings INTEGER NOT NULL,
  -- Over all its records and bookings.
  digest BLOB NOT NULL CONSTRAINT archive_digest_form CHECK (length(digest) = 16),
  sealed_at INTEGER NOT NULL,
  done_at INTEGER
) STRICT;
CREATE UNIQUE INDEX archive_unfinished ON archive (done_at IS NULL) WHERE done_at IS NULL;

CREATE TRIGGER archive_never_changes BEFORE UPDATE OF id, path, before_at, records, bookings,
  digest, sealed_at ON archive
BEGIN SELECT RAISE(ABORT, 'archives are append-only'); END;
CREATE TRIGGER archive_is_done_once BEFORE UPDATE ON archive WHEN OLD.done_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'an archive is done once'); END;
CREATE TRIGGER archive_never_goes BEFORE DELETE ON archive
BEGIN SELECT RAISE(ABORT, 'archives are append-only'); END;

-- What is kept of a record that went, so that it is known when it is sent again. The first archive
-- makes the trigger that keeps it from being booked again: intake would pay a quarter of its rate
-- for that where nothing is archived.
CREATE TABLE archived_record (
  identity BLOB NOT NULL PRIMARY KEY
    CONSTRAINT archived_record_identity_form CHECK (length(identity) = 16),
  content BLOB NOT NULL CONSTRAINT archived_record_content_form CHECK (length(content) = 16),
  position INTEGER NOT NULL,
  archive_id INTEGER NOT NULL REFERENCES archive (id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER archived_record_never_changes BEFORE UPDATE ON archived_record
BEGIN SELECT RAISE(ABORT, 'what is known of archived records is append-only'); END;
CREATE TRIGGER archived_record_never_goes BEFORE DELETE ON archived_record
BEGIN SELECT RAISE(ABORT, 'what is known of archived records is append-only'); END;

-- What a balance came to when its bookings, those until booked_to, went. Bookings made since are
-- added to it.
CREATE TABLE balance_seal (
  balance_id INTEGER NOT NULL REFERENCES balance (id),
  booked_to INTEGER NOT NULL,
  archive_id INTEGER NOT NULL REFERENCES archive (id),
  accrued TEXT NOT NULL,
  -- How many events it had: what those said stands for good.
  events INTEGER NOT NULL,
  digest BLOB NOT NULL CONSTRAINT balance_seal_digest_form CHECK (length(digest) = 16),
  PRIMARY KEY (balance_id, booked_to)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER balance_seal_never_changes BEFORE UPDATE ON balance_seal
BEGIN SELECT RAISE(ABORT, 'seals are append-only'); END;
CREATE TRIGGER balance_seal_never_goes BEFORE DELETE ON balance_seal
BEGIN SELECT RAISE(ABORT, 'seals are append-only'); END;

-- What an event said of bookings that went stands for good.
CREATE TRIGGER meter_event_that_is_archived_never_moves BEFORE UPDATE OF state ON meter_event
WHEN EXISTS (SELECT 1 FROM balance_seal AS s
  WHERE s.balance_id = OLD.balance_id AND s.events >= OLD.ordinal)
BEGIN SELECT RAISE(ABORT, 'what an archived event said stands'); END;
