//! The nouns. Here: values and the rules that hold for them by themselves. Never here: I/O, async,
//! a clock, a format of the outside. Read next: [`time`], then down the list.
//!
//! | word | means |
//! |---|---|
//! | usage record | an immutable fact from a source: who used how much of what, when |
//! | journal | all usage records in the order they were booked |
//! | route | configuration: which records go to which provider meter, and how |
//! | rejected | what came in as a record and is none, kept until it is resubmitted or dismissed |
//! | correction | a later entry that cancels a record or gives it another quantity |
//! | booking | the fact that a route version booked a record to a balance |
//! | member | a distinct value of a property, as a digest, where a route counts such |
//! | balance | what a provider should hold for one destination, and what it was told |
//! | meter event | what a provider is told: one identifier, one body, one life |
//! | attempt, receipt | one try to tell it; what came back |
//! | parked | a record that waits in front of a route, with the reason |
//! | resolution | what a person decided of something held |
//! | notice | what a provider announced: a hint to look, never a fact to book |
//! | period | the span of usage that one invoice of a subscription bills of a meter |
//! | cutover | from when on a provider is told by this program, and no longer by another |
//! | shadow | all is booked and read, and the provider is told nothing |
//! | drift | a difference between the ledger, a provider's total and an invoice, with its kind |
//! | cadence | how often a source, a meter or a customer is heard of, learned from arrivals |
//! | silence | somebody has been quiet for longer than its cadence, while it was listened for |
//! | lever | a figure of a customer's usage: which meter, over which time, counted how |
//! | view | how records of a meter are told apart and summed, so that levers are answered at once |
//! | export | events that files tell, which a person uploads: held until totals prove them there |
//! | held | an event or balance that waits for a person or for proof, with the reason |

pub mod time;
pub mod quantity;
pub mod names;
pub mod digest;
pub mod record;
pub mod rejected;
pub mod correction;
pub mod resolution;
pub mod write_off;
pub mod fold;
pub mod unique;
pub mod balance;
pub mod entries;
pub mod event;
pub mod state;
pub mod answer;
pub mod provider_facts;
pub mod reading;
pub mod drift;
pub mod notice;
pub mod billing;
pub mod period;
pub mod policies;
pub mod cutover;
pub mod silence;
pub mod export;
pub mod usage;
pub(crate) mod closed;
