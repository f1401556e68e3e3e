//! The names things go by. Here: one type per kind of name, so that a customer is never passed for
//! a meter, and the bounds they share. Never here: what a name stands for. Read next:
//! [`crate::domain::record`].

use std::fmt;

/// Longest name from outside, in bytes: fits the 100 characters of Stripe's event names and
/// identifiers with room for other providers, and bounds an index entry.
pub const NAME_BYTES_MAX: usize = 200;

/// Why a text cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("is longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// Holds a control character, which would make a log line or a listing lie.
    #[error("holds a control character")]
    Control,
    /// Starts or ends with white space, which nobody can see.
    #[error("starts or ends with white space")]
    Padded,
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        Err(NameError::Empty)
    } else if text.len() > NAME_BYTES_MAX {
        Err(NameError::TooLong)
    } else if text.chars().any(char::is_control) {
        Err(NameError::Control)
    } else if text.trim().len() != text.len() {
        Err(NameError::Padded)
    } else {
        Ok(())
    }
}

macro_rules! names {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Takes a text as this kind of name.
            ///
            /// # Errors
            /// When it is empty, too long, padded, or holds a control character.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    )+};
}

names! {
    /// Where records come from: a service, a file feed. Record ids are unique within it.
    SourceName;
    /// A configured directory whose files are read as they grow, such as `gateway`.
    SpoolName;
    /// A record's unique name within its source.
    RecordId;
    /// A caller's own name for a correction, unique for the record it corrects.
    CorrectionName;
    /// Who used, in the words of the source.
    CustomerName;
    /// What was used, in the words of the source.
    MeterName;
    /// A configured provider instance, such as `stripe.main`.
    ProviderName;
    /// Who pays, at the provider: at Stripe a `cus_…`.
    AccountName;
    /// What the provider counts: at Stripe a meter's event name.
    ProviderMeter;
    /// A configured route.
    RouteName;
    /// A configured lever: a figure of usage that customers' programs ask for.
    LeverName;
    /// A provider's own name for something that it announces.
    NoticeId;
    /// What kind of thing is announced, in the provider's words.
    NoticeKind;
    /// What kind of object of the provider's a notice is about, in the provider's words.
    ObjectKind;
    /// The object of the provider's that a notice is about.
    ObjectId;
    /// A subscription at the provider.
    SubscriptionId;
    /// An invoice at the provider.
    InvoiceId;
    /// A line of an invoice.
    LineId;
    /// A price at the provider.
    PriceId;
    /// One of the lists in which a provider keeps what it announces.
    FeedName;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_mislead_a_reader_is_refused() {
        for (text, why) in [
            ("", NameError::Empty),
            (" a", NameError::Padded),
            ("a\u{7}b", NameError::Control),
            ("a\nb", NameError::Control),
        ] {
            assert_eq!(MeterName::new(text), Err(why), "{text:?}");
        }
        assert_eq!(MeterName::new(&"x".repeat(NAME_BYTES_MAX + 1)), Err(NameError::TooLong));
        assert!(MeterName::new(&"x".repeat(NAME_BYTES_MAX)).is_ok());
    }
}
