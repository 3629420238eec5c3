//! The shapes of [`raw`](super::raw): fields that may be left out, mappings, lists, numbers. Stricter than the YAML library, and as
//! strict as the JSON schema in `schema`: nothing empty, nothing converted.

use super::error::Complaint;
use super::resolved::Argv;
use super::text::{Checked, Program};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// The message of the error for a field that is written down without a value. `explain` puts it into words.
pub(super) const NOTHING: &str = "nothing";

/// What the message of the error for a value of another type begins with; what it must be follows. Serde's own error for this
/// would do, but the YAML library places that one at the mapping around the value.
pub(super) const MUST_BE: &str = "must be ";

/// A field that may be left out. Unlike `Option`, it may not be left empty: `image:` with nothing behind it is a forgotten
/// value, and taking it for "no image" would silently drop every stage of the image.
pub(super) struct Opt<T>(pub(super) Option<T>);

impl<T> Default for Opt<T> {
    fn default() -> Self {
        Opt(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Opt<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Given::deserialize(deserializer).map(|Given(value)| Opt(Some(value)))
    }
}

/// A value that is there. The YAML library takes an empty value for an empty mapping or list; this does not.
pub(super) struct Given<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Something<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Something<T> {
            type Value = Given<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
                Err(E::custom(NOTHING))
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Err(E::custom(NOTHING))
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                T::deserialize(deserializer).map(Given)
            }
        }

        deserializer.deserialize_option(Something(PhantomData))
    }
}

/// A mapping whose keys are names, in the order of the file, with at least `MIN` entries.
pub(super) struct Entries<K, V, const MIN: usize = 0>(pub(super) Vec<(K, V)>);

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>, const MIN: usize> Deserialize<'de>
    for Entries<K, V, MIN>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<K, V, const MIN: usize>(PhantomData<(K, V)>);

        impl<'de, K: Deserialize<'de>, V: Deserialize<'de>, const MIN: usize> Visitor<'de> for Map<K, V, MIN> {
            type Value = Entries<K, V, MIN>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, Given(value))) = map.next_entry()? {
                    entries.push((key, value));
                }
                if entries.len() < MIN { Err(A::Error::custom(NOTHING)) } else { Ok(Entries(entries)) }
            }
        }

        deserializer.deserialize_map(Map(PhantomData))
    }
}

/// A list with at least `MIN` items.
pub(super) struct List<T, const MIN: usize = 0>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>, const MIN: usize> Deserialize<'de> for List<T, MIN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const MIN: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MIN: usize> Visitor<'de> for Items<T, MIN> {
            type Value = List<T, MIN>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                if list.len() < MIN { Err(A::Error::custom(NOTHING)) } else { Ok(List(list)) }
            }
        }

        deserializer.deserialize_seq(Items(PhantomData))
    }
}

/// A scalar as YAML 1.2 and JSON have it. Asked for a number or a truth value, the YAML library would also take `"1"` and
/// `"true"`, which editors that follow the schema refuse.
enum Scalar {
    Truth(bool),
    Whole(i64),
    Other,
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyScalar;

        impl<'de> Visitor<'de> for AnyScalar {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar::Truth(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Whole(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar::Whole(i64::try_from(value).unwrap_or(i64::MAX)))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }

            fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Scalar, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }

        deserializer.deserialize_any(AnyScalar)
    }
}

fn must_be<E: Error>(expected: &str) -> E {
    E::custom(format_args!("{MUST_BE}{expected}"))
}

/// Whether something is so.
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(deserializer)? {
            Scalar::Truth(value) => Ok(Flag(value)),
            Scalar::Whole(_) | Scalar::Other => Err(must_be("`true` or `false`")),
        }
    }
}

/// How many.
pub(super) struct Count(pub(super) u32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Scalar::Whole(number) = Scalar::deserialize(deserializer)? else {
            return Err(must_be("a whole number"));
        };
        let outside = || {
            Complaint::new(
                format!("{number} is out of range"),
                format!("write a number from 0 to {}", u32::MAX),
            )
        };
        u32::try_from(number).map(Count).map_err(|_| D::Error::custom(outside()))
    }
}

/// The version of the file's format that this program reads.
pub(super) struct Version;

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Count::deserialize(deserializer)? {
            Count(1) => Ok(Version),
            Count(other) => Err(D::Error::custom(Complaint::new(
                format!("version {other} is not known: this program reads version 1"),
                "write `version: 1`, or use an xtask that knows the other one",
            ))),
        }
    }
}

/// A program and its arguments.
pub(super) struct Command(pub(super) Argv);

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;

        impl<'de> Visitor<'de> for Words {
            type Value = Command;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of words")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<Command, A::Error> {
                let Some(Checked::<Program>(program)) = words.next_element()? else {
                    return Err(A::Error::custom(NOTHING));
                };
                let mut args = Vec::new();
                while let Some(word) = words.next_element()? {
                    args.push(word);
                }
                Ok(Command(Argv { program, args }))
            }
        }

        deserializer.deserialize_seq(Words)
    }
}
