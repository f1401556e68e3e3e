//! Closed sets with a text form. Here: the one macro that keeps an enum, its stored text and its
//! list of members together. Never here: a set itself. Read next: [`crate::domain::state`].

/// Declares an enum whose members have a text form, used in the ledger, in listings and in metrics.
macro_rules! closed {
    (
        $(#[$doc:meta])+
        $name:ident { $($(#[$member_doc:meta])+ $member:ident = $text:literal,)+ }
    ) => {
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$member_doc])+ $member,)+ }

        impl $name {
            /// Every member, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$member,)+];

            /// The member's text form.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$member => $text,)+ }
            }

            /// The member with this text form.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|member| member.as_str() == text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

pub(crate) use closed;
