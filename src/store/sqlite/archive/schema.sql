-- An archive: what went from a ledger, as it stood there. Times are microseconds since the Unix
-- epoch, UTC; quantities are decimal text.

-- "TALA": by this an archive is told from a ledger.
PRAGMA copy.application_id = 0x54414C41;

-- What this archive is, and of which ledger. The ledger keeps a digest over what it holds.
CREATE TABLE copy.archive (
  one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  ledger TEXT NOT NULL,
  id INTEGER NOT NULL,
  before_at INTEGER NOT NULL,
  made_at INTEGER NOT NULL,
  records INTEGER NOT NULL,
  bookings INTEGER NOT NULL
) STRICT;

CREATE TABLE copy.usage_record (
  position INTEGER NOT NULL PRIMARY KEY,
  identity BLOB NOT NULL,
  content BLOB NOT NULL,
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  customer TEXT NOT NULL,
  meter TEXT NOT NULL,
  quantity TEXT NOT NULL,
  occurred_at INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  properties TEXT NOT NULL
) STRICT;

CREATE TABLE copy.booking (
  id INTEGER NOT NULL PRIMARY KEY,
  record_position INTEGER NOT NULL,
  destination_id INTEGER NOT NULL,
  route_version_id INTEGER NOT NULL,
  balance_id INTEGER NOT NULL,
  quantity TEXT NOT NULL,
  cause TEXT NOT NULL,
  cause_id INTEGER NOT NULL,
  booked_at INTEGER NOT NULL
) STRICT;

-- The balances that the bookings are of, as they were when these went. They stay in the ledger.
CREATE TABLE copy.balance (
  id INTEGER NOT NULL PRIMARY KEY,
  provider TEXT NOT NULL,
  meter TEXT NOT NULL,
  account TEXT NOT NULL,
  dimensions TEXT NOT NULL,
  window_start INTEGER NOT NULL,
  window_end INTEGER NOT NULL,
  accrued TEXT NOT NULL,
  told TEXT NOT NULL,
  digest BLOB NOT NULL,
  booked_to INTEGER NOT NULL,
  events INTEGER NOT NULL
) STRICT;

CREATE TABLE copy.route_version (
  id INTEGER NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  definition TEXT NOT NULL
) STRICT;

-- The corrections of its records. They stay in the ledger.
CREATE TABLE copy.correction (
  id INTEGER NOT NULL PRIMARY KEY,
  source TEXT NOT NULL,
  record_id TEXT NOT NULL,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  quantity TEXT,
  replaces TEXT,
  reason TEXT NOT NULL,
  who TEXT NOT NULL,
  recorded_at INTEGER NOT NULL
) STRICT;
