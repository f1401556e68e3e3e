//! What was rejected, sent again. Here: reading its kept text anew, or what a person sends in its
//! place, and the one call that books it and ends the item. Never here: what a field has to hold
//! (see [`super::admit`]), HTTP. Read next: [`crate::ledger::rejected`].

use super::admit::{Rules, Sources};
use super::batch::{Batch, Place};
use super::cloudevents::read_event;
use super::gate::{Gate, GateError};
use super::json::read_record;
use crate::domain::names::SourceName;
use crate::domain::rejected::Form;
use crate::domain::time::Timestamp;
use crate::ledger::intake::Admitted;
use crate::ledger::rejected::{Ended, RejectedItem, RejectedLedger, UNKNOWN};

/// An item that is to be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resubmission {
    /// Its number.
    pub number: i64,
    /// What is sent in its place; without it, its own text.
    pub instead: Option<String>,
    /// Who sends it.
    pub who: String,
}

impl Gate {
    /// Books an item that was rejected, or what is sent in its place, and ends it, in one call to
    /// `ledger`. What is still no record is not kept again: the item stays open as it is. What is
    /// sent in its place is of the item's source where it names none, and may name any other; as it
    /// came, it is of a source that its sender may speak for.
    ///
    /// # Errors
    /// Then nothing was changed, except perhaps after [`GateError::Fatal`].
    pub async fn resubmit(
        &self,
        ledger: &dyn RejectedLedger,
        asked: Resubmission,
    ) -> Result<Ended, GateError> {
        self.check_room()?;
        let Resubmission { number, instead, who } = asked;
        let item = ledger.rejected_item(number).await.map_err(|why| self.refuse(why))?;
        let Some(item) = item else { return Ok(Ended::Refused(UNKNOWN.to_owned())) };
        let now = self.clock().now();
        let record = match self.read_again(&item, instead.as_deref(), now) {
            Ok(record) => record,
            // Of what is over, that is what a person has to hear.
            Err(why) => return Ok(Ended::Refused(item.ended_before().unwrap_or(why))),
        };
        let ended = ledger.resubmit(number, record, &who, now).await;
        let ended = ended.map_err(|why| self.refuse(why))?;
        if matches!(ended, Ended::Booked(_)) {
            self.accrual.ring();
        }
        Ok(ended)
    }

    /// The record that an item, or what is sent in its place, is; or a sentence that says why it is
    /// none.
    fn read_again(
        &self,
        item: &RejectedItem,
        instead: Option<&str>,
        now: Timestamp,
    ) -> Result<Admitted, String> {
        let kept = &item.kept;
        let event = match (kept.form, instead) {
            (Form::Correction, _) => {
                return Err(
                    "it came as a correction: make that again (tallyd cancel, tallyd adjust \
                    or tallyd import --corrections), and dismiss this"
                        .to_owned(),
                );
            }
            // A row makes as many records as its mapping says, each an item by its id. Where not
            // even that was read, one record would end what stands for several.
            (Form::Row, _) if kept.id.is_none() => {
                return Err(
                    "it is a row of a file whose id was not read, and may be several records: \
                    import the row again, corrected (tallyd import), and dismiss this"
                        .to_owned(),
                );
            }
            (Form::Row, None) => {
                return Err(
                    "it is a row of a file, and no record by itself: send the record that it \
                    should be, as JSON, in its place (--file)"
                        .to_owned(),
                );
            }
            (Form::Record | Form::Event, None) if !kept.whole => {
                return Err(format!(
                    "only {} bytes of it can be told from what is kept: send it whole in its place \
                     (--file)",
                    kept.raw.len()
                ));
            }
            (Form::Event, _) => true,
            (Form::Record | Form::Row, _) => false,
        };
        let sources = match (instead, &kept.spoke_for) {
            (Some(_), _) => SourceName::new(&kept.source).map_or(Sources::Any, Sources::AnyOr),
            (None, Some(names)) => Sources::These(names.clone()),
            (None, None) => Sources::Any,
        };
        let settings = self.settings();
        let rules = Rules { settings: &settings, sources: &sources, now };
        let read = if event { read_event } else { read_record };
        let mut batch = Batch::default();
        read(instead.unwrap_or(&kept.raw), Place::Record(1), &rules, &mut batch);
        match (batch.admitted.pop(), batch.rejected.pop()) {
            (Some((_, record)), None) => Ok(record),
            (_, Some((_, fault))) => Err(format!("{} {}", fault.field, fault.reason)),
            (None, None) => Err("there is nothing in it".to_owned()),
        }
    }
}
