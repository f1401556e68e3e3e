//! The verbs of reading files. Here: how far each was read, and that it ended. Never here: booking
//! what was read (see [`super::intake`]). Read next: [`super::accrual`].

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{SqliteLedger, sql};
use crate::domain::names::SpoolName;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::intake::{Admission, Admitted, Rejected};
use crate::ledger::spool::{
    Cursor, FileEnd, FileKey, SpoolFile, SpoolFileId, SpoolLedger, SpoolStatus, Stretch,
};
use crate::store::codec::{Columns, ledger_error, unreadable};

#[async_trait]
impl SpoolLedger for SqliteLedger {
    async fn spooled(&self, spool: &SpoolName) -> Result<Vec<SpoolFile>, LedgerError> {
        let rows = sqlx::query(sql!("spool_files"))
            .bind(spool.as_str())
            .fetch_all(&self.readers)
            .await
            .map_err(ledger_error)?;
        rows.iter().map(file).collect()
    }

    async fn accept_stretch(
        &self,
        stretch: Stretch,
        records: Vec<Admitted>,
        rejected: Vec<Rejected>,
        now: Timestamp,
    ) -> Result<Vec<Admission>, LedgerError> {
        self.in_group(records, rejected, Some(stretch), now).await
    }

    async fn end_file(
        &self,
        file: SpoolFileId,
        why: FileEnd,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut writer = self.writer().await?;
        sqlx::query(sql!("spool_end"))
            .bind(file.0)
            .bind(why.as_str())
            .bind(now.micros())
            .execute(&mut *writer)
            .await
            .map_err(ledger_error)?;
        Ok(())
    }
}

/// Moves the cursor of a file whose stretch is booked in the same transaction.
pub(super) async fn advance(
    connection: &mut SqliteConnection,
    stretch: &Stretch,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let done = sqlx::query(sql!("spool_advance"))
        .bind(stretch.spool.as_str())
        .bind(stretch.key.device.cast_signed())
        .bind(stretch.key.inode.cast_signed())
        .bind(&stretch.name)
        .bind(stretch.from.cast_signed())
        .bind(stretch.to.offset.cast_signed())
        .bind(stretch.to.line.cast_signed())
        .bind(stretch.to.mark.as_slice())
        .bind(stretch.size.cast_signed())
        .bind(now.micros())
        .execute(connection)
        .await
        .map_err(ledger_error)?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    let Stretch { spool, name, from, to, .. } = stretch;
    let what = format!(
        "bytes {from} to {} of {name:?} of the spool {spool} were read, and its cursor stands \
         elsewhere",
        to.offset
    );
    Err(LedgerError::Contradiction(what))
}

fn file(row: &SqliteRow) -> Result<SpoolFile, LedgerError> {
    let counted = |column: &str| {
        let value = row.integer(column)?;
        u64::try_from(value).map_err(|_| unreadable(column, &value.to_string()))
    };
    let (device, inode) = (row.integer("device")?, row.integer("inode")?);
    Ok(SpoolFile {
        id: SpoolFileId(row.integer("id")?),
        key: FileKey { device: device.cast_unsigned(), inode: inode.cast_unsigned() },
        name: row.text("name")?,
        cursor: Cursor {
            offset: counted("read_to")?,
            line: counted("line")?,
            mark: row.digest("mark")?,
        },
        size: counted("size")?,
    })
}

/// What stands of a spool.
pub(super) fn spool_status(row: &SqliteRow) -> Result<SpoolStatus, LedgerError> {
    Ok(SpoolStatus {
        spool: row.text("spool")?,
        files: row.integer("files")?,
        unread_bytes: row.integer("unread")?,
        lost: row.integer("lost")?,
        replaced: row.integer("replaced")?,
        read_at: row.time("read_at")?,
    })
}
