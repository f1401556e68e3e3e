//! What the ledger stands at, as JSON. Here: the one form of it, for the operator's socket and for
//! `tallyd status --json`. Never here: asking the ledger. Read next: [`super::health`].

use serde_json::{Value, json};

use crate::domain::state::{HoldReason, ParkReason};
use crate::ledger::operator::{AtRisk, NoticesStatus, ProviderStatus, Status};
use crate::ledger::posting::Restored;
use crate::ledger::spool::SpoolStatus;

/// Most customers and meters at risk that are listed: those with the most. `books` lists all.
pub const AT_RISK_LISTED_MAX: usize = 20;

/// The status as JSON.
#[must_use]
pub fn status_json(status: &Status) -> Value {
    let parked: Vec<Value> = status
        .parked
        .iter()
        .map(|each| {
            let ended_by = ParkReason::parse(&each.name).map(ParkReason::ended_by);
            json!({ "reason": each.name, "count": each.count, "ended_by": ended_by })
        })
        .collect();
    let events: Vec<Value> = status
        .events
        .iter()
        .map(|(provider, state, count)| {
            json!({ "provider": provider, "state": state, "count": count })
        })
        .collect();
    let held: Vec<Value> = status
        .held
        .iter()
        .map(|(provider, reason, count)| {
            let ended_by = HoldReason::parse(reason).map(HoldReason::ended_by);
            json!({
                "provider": provider, "reason": reason, "count": count, "ended_by": ended_by,
            })
        })
        .collect();
    let at_risk: Vec<Value> =
        status.at_risk.iter().take(AT_RISK_LISTED_MAX).map(at_risk_json).collect();
    let providers: Vec<Value> = status.providers.iter().map(provider_json).collect();
    let notices: Vec<Value> = status.notices.iter().map(notices_json).collect();
    let spools: Vec<Value> = status.spools.iter().map(spool_json).collect();
    let recent = status.recent;
    json!({
        "ledger_id": status.ledger_id,
        "records": status.records,
        "accrued_to": status.accrued_to,
        "corrections": status.corrections,
        "corrected_to": status.corrected_to,
        "conflicts": status.conflicts,
        "rejected": status.rejected,
        "rejected_open": status.rejected_open,
        "parked": parked,
        "events": events,
        "held": held,
        "held_share": {
            "events": recent.events,
            "held": recent.held,
            "basis_points": recent.held_basis_points(),
        },
        "at_risk": at_risk,
        "at_risk_places": status.at_risk.len(),
        "restored": status.restored.as_ref().map(restored_json),
        "balances_open": status.balances_open,
        "oldest_open_at": status.oldest_open_at.map(|at| at.to_rfc3339()),
        "nearest_deadline_at": status.nearest_deadline_at.map(|at| at.to_rfc3339()),
        "providers": providers,
        "notices": notices,
        "spools": spools,
    })
}

fn restored_json(restored: &Restored) -> Value {
    json!({
        "restored_at": restored.restored_at.to_rfc3339(),
        "sent_through_at": restored.sent_through_at.to_rfc3339(),
        "caught_up_at": restored.caught_up_at.map(|at| at.to_rfc3339()),
    })
}

fn at_risk_json(each: &AtRisk) -> Value {
    json!({
        "provider": each.provider,
        "account": each.account,
        "meter": each.meter,
        "items": each.items,
        "quantity": each.quantity.to_string(),
    })
}

fn notices_json(status: &NoticesStatus) -> Value {
    json!({
        "provider": status.provider,
        "waiting": status.waiting,
        "newest_at": status.newest_at.to_rfc3339(),
    })
}

fn spool_json(status: &SpoolStatus) -> Value {
    json!({
        "spool": status.spool,
        "files": status.files,
        "unread_bytes": status.unread_bytes,
        "lost": status.lost,
        "replaced": status.replaced,
        "read_at": status.read_at.to_rfc3339(),
    })
}

fn provider_json(status: &ProviderStatus) -> Value {
    let pause = status.pause.as_ref();
    let pause = pause.map(|(why, since)| json!({ "reason": why, "since": since.to_rfc3339() }));
    json!({
        "provider": status.provider,
        "account": status.account,
        "livemode": status.livemode,
        "pause": pause,
        "in_shadow": status.in_shadow,
        "balances_told_before": status.told_before,
    })
}
