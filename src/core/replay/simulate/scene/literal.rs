//! Scenes as Rust text, so that a shrunk one can be pasted into a test.

use crate::actuate::facts::Method;
use crate::policy::{CpuLimitRule, MemoryLimitRule, Objective};

/// A value that can be written as a Rust expression.
pub trait Literal {
    /// Returns the expression; fields that have their default are left out.
    fn literal(&self) -> String;
}

macro_rules! by_debug {
    ($($kind:ty),*) => {$(impl Literal for $kind {
        fn literal(&self) -> String {
            format!("{self:?}")
        }
    })*};
}

macro_rules! by_name {
    ($($kind:ident),*) => {$(impl Literal for $kind {
        fn literal(&self) -> String {
            format!("{}::{self:?}", stringify!($kind))
        }
    })*};
}

by_debug!(bool, u32, u64, usize);
by_name!(Method, CpuLimitRule, MemoryLimitRule, Objective);

impl<T: Literal> Literal for Option<T> {
    fn literal(&self) -> String {
        self.as_ref().map_or_else(|| "None".to_owned(), |value| format!("Some({})", value.literal()))
    }
}

impl<T: Literal> Literal for Vec<T> {
    fn literal(&self) -> String {
        let parts: Vec<_> = self.iter().map(Literal::literal).collect();
        format!("vec![{}]", parts.join(", "))
    }
}

/// Defines a struct of a scene with a default for each field.
macro_rules! plain {
    ($(#[$meta:meta])* $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $kind:ty = $default:expr,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $kind,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::replay::simulate::scene::literal::Literal for $name {
            fn literal(&self) -> String {
                let usual = Self::default();
                let mut fields: Vec<String> = Vec::new();
                let mut all = true;
                $(if self.$field == usual.$field {
                    all = false;
                } else {
                    fields.push(format!("{}: {}", stringify!($field), self.$field.literal()));
                })*
                if !all {
                    fields.push(format!("..{}::default()", stringify!($name)));
                }
                format!("{} {{ {} }}", stringify!($name), fields.join(", "))
            }
        }
    };
}

/// Defines an enum of a scene.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($body:tt)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($body)* }

        impl $crate::replay::simulate::scene::literal::Literal for $name {
            fn literal(&self) -> String {
                format!("{}::{self:?}", stringify!($name))
            }
        }
    };
}

pub(super) use {choice, plain};
