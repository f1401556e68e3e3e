//! Notices in the ledger. Here: the verbs that archive them, hand them out, conclude and forget
//! them. Never here: what a notice means. Read next: [`super::operator`].

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{SqliteLedger, begin, commit, sql};
use crate::domain::names::{NoticeId, NoticeKind, ObjectId, ObjectKind, ProviderName};
use crate::domain::notice::{CameBy, KEPT_MICROS, Notice, NoticeState, Related};
use crate::domain::time::{MICROS_PER_DAY, Timestamp};
use crate::ledger::LedgerError;
use crate::ledger::notices::{
    Archived, Arrival, Cleared, Conclusion, FORGOTTEN_AT_ONCE, NoticeNumber, NoticesLedger,
    WaitingNotice,
};
use crate::ledger::operator::NoticesStatus;
use crate::store::codec::{Columns, ledger_error};

#[async_trait]
impl NoticesLedger for SqliteLedger {
    async fn archive_notices(
        &self,
        arrivals: &[Arrival],
        now: Timestamp,
    ) -> Result<Vec<Archived>, LedgerError> {
        if arrivals.is_empty() {
            return Ok(Vec::new());
        }
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let mut kept = Kept::read(&mut transaction, arrivals).await?;
        let mut fresh = Vec::new();
        let mut archived = Vec::with_capacity(arrivals.len());
        let mut repeated: BTreeMap<i64, i64> = BTreeMap::new();
        for (index, arrival) in arrivals.iter().enumerate() {
            archived.push(match kept.number_of(index, arrival) {
                Some(number) => {
                    *repeated.entry(number).or_default() += 1;
                    Archived::Duplicate(NoticeNumber(number))
                }
                None => {
                    let number = kept.keep(arrival);
                    fresh.push(row(number, arrival));
                    Archived::New(NoticeNumber(number))
                }
            });
        }
        if !fresh.is_empty() {
            sqlx::query(sql!("notices_insert"))
                .bind(Value::from(fresh).to_string())
                .bind(now.micros())
                .execute(&mut *transaction)
                .await
                .map_err(ledger_error)?;
        }
        if !repeated.is_empty() {
            let repeated: Vec<Value> =
                repeated.into_iter().map(|(number, times)| json!([number, times])).collect();
            sqlx::query(sql!("notices_repeat"))
                .bind(Value::from(repeated).to_string())
                .execute(&mut *transaction)
                .await
                .map_err(ledger_error)?;
        }
        commit(transaction).await?;
        Ok(archived)
    }

    async fn waiting_notices(
        &self,
        provider: &ProviderName,
        limit: u32,
    ) -> Result<Vec<WaitingNotice>, LedgerError> {
        let rows = sqlx::query(sql!("notices_waiting"))
            .bind(provider.as_str())
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        rows.iter().map(waiting).collect()
    }

    async fn conclude_notice(
        &self,
        number: NoticeNumber,
        conclusion: &Conclusion,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let concluded = conclude(&mut transaction, number, conclusion, now).await?;
        commit(transaction).await?;
        Ok(concluded > 0)
    }

    async fn clear_notices(&self, now: Timestamp) -> Result<Cleared, LedgerError> {
        let before = now.plus_micros(-KEPT_MICROS).micros();
        let why = format!("nobody acted on it in {} days", KEPT_MICROS / MICROS_PER_DAY);
        let mut writer = self.writer().await?;
        let mut transaction = begin(&mut writer).await?;
        let given_up = sqlx::query(sql!("notices_give_up"))
            .bind(before)
            .bind(why)
            .bind(now.micros())
            .bind(FORGOTTEN_AT_ONCE)
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?
            .rows_affected();
        let forgotten = sqlx::query(sql!("notices_forget"))
            .bind(before)
            .bind(FORGOTTEN_AT_ONCE)
            .execute(&mut *transaction)
            .await
            .map_err(ledger_error)?
            .rows_affected();
        commit(transaction).await?;
        Ok(Cleared { given_up, forgotten })
    }
}

/// Says what a notice led to; answers how many waited for that.
pub(super) async fn conclude(
    connection: &mut SqliteConnection,
    number: NoticeNumber,
    conclusion: &Conclusion,
    now: Timestamp,
) -> Result<u64, LedgerError> {
    let (state, why) = match conclusion {
        Conclusion::Acted(what) => (NoticeState::Acted, what),
        Conclusion::Ignored(why) => (NoticeState::Ignored, why),
    };
    let concluded = sqlx::query(sql!("notice_conclude"))
        .bind(number.0)
        .bind(state.as_str())
        .bind(why)
        .bind(now.micros())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    Ok(concluded.rows_affected())
}

/// The notices that a batch repeats: those that are kept, and those that it brings itself.
struct Kept {
    /// By their place in the batch.
    stored: HashMap<usize, i64>,
    /// By provider and name, each under both its names.
    brought: HashMap<(ProviderName, NoticeId), i64>,
    newest: i64,
}

impl Kept {
    async fn read(
        connection: &mut SqliteConnection,
        arrivals: &[Arrival],
    ) -> Result<Self, LedgerError> {
        let asked: Vec<Value> = arrivals
            .iter()
            .enumerate()
            .map(|(index, Arrival { provider, notice, .. })| {
                let (id, announcement) = (notice.id.as_str(), notice.announcement().as_str());
                json!([index, provider.as_str(), id, announcement])
            })
            .collect();
        let rows = sqlx::query(sql!("notices_known"))
            .bind(Value::from(asked).to_string())
            .fetch_all(&mut *connection)
            .await
            .map_err(ledger_error)?;
        let mut stored = HashMap::new();
        for row in rows {
            if let (Ok(index), Some(number)) =
                (usize::try_from(row.integer("asked")?), row.maybe_integer("id")?)
            {
                stored.insert(index, number);
            }
        }
        let newest = sqlx::query(sql!("notice_end"))
            .fetch_one(connection)
            .await
            .map_err(ledger_error)?
            .integer("id")?;
        Ok(Self { stored, brought: HashMap::new(), newest })
    }

    fn number_of(&self, index: usize, arrival: &Arrival) -> Option<i64> {
        let brought = |name: &NoticeId| self.brought.get(&(arrival.provider.clone(), name.clone()));
        let stored = self.stored.get(&index);
        let notice = &arrival.notice;
        stored.or_else(|| brought(&notice.id)).or_else(|| brought(notice.announcement())).copied()
    }

    fn keep(&mut self, arrival: &Arrival) -> i64 {
        self.newest += 1;
        for name in [&arrival.notice.id, arrival.notice.announcement()] {
            self.brought.insert((arrival.provider.clone(), name.clone()), self.newest);
        }
        self.newest
    }
}

fn row(number: i64, arrival: &Arrival) -> Value {
    let Arrival { provider, notice, came_by } = arrival;
    let related = notice.related.as_ref();
    json!([
        number,
        provider.as_str(),
        notice.id.as_str(),
        notice.announcement().as_str(),
        notice.kind.as_str(),
        notice.created_at.micros(),
        i64::from(notice.livemode),
        related.map(|object| object.kind.as_str()),
        related.map(|object| object.id.as_str()),
        came_by.as_str(),
        notice.body,
    ])
}

fn waiting(row: &SqliteRow) -> Result<WaitingNotice, LedgerError> {
    let id = row.name("event", NoticeId::new)?;
    let announcement = row.name("announcement", NoticeId::new)?;
    let related = match row.maybe_name("object_kind", ObjectKind::new)? {
        Some(kind) => Some(Related { kind, id: row.name("object_id", ObjectId::new)? }),
        None => None,
    };
    let notice = Notice {
        snapshot: Some(announcement).filter(|announcement| *announcement != id),
        id,
        kind: row.name("kind", NoticeKind::new)?,
        created_at: row.time("created_at")?,
        livemode: row.flag("livemode")?,
        related,
        body: row.text("body")?,
    };
    Ok(WaitingNotice {
        number: NoticeNumber(row.integer("id")?),
        arrival: Arrival {
            provider: row.name("provider", ProviderName::new)?,
            notice,
            came_by: row.member("came_by", CameBy::parse)?,
        },
        received_at: row.time("received_at")?,
        duplicates: row.integer("duplicates")?,
    })
}

/// What stands of each provider's notices, by rows of each of their states.
pub(super) fn notices_by_provider(rows: &[SqliteRow]) -> Result<Vec<NoticesStatus>, LedgerError> {
    let mut providers: BTreeMap<String, NoticesStatus> = BTreeMap::new();
    for row in rows {
        let (provider, newest_at) = (row.text("provider")?, row.time("newest_at")?);
        let status = providers.entry(provider.clone()).or_insert(NoticesStatus {
            provider,
            waiting: 0,
            newest_at,
        });
        status.newest_at = status.newest_at.max(newest_at);
        match row.member("state", NoticeState::parse)? {
            NoticeState::Waiting => status.waiting += row.integer("count")?,
            NoticeState::Acted | NoticeState::Ignored => {}
        }
    }
    Ok(providers.into_values().collect())
}
