//! The shapes of [`raw`](super::raw): fields that may be left out, mappings, lists, numbers. Stricter than the YAML library, and as
//! strict as the JSON schema in `schema`: nothing empty, nothing converted.

use super::error::Complaint;
use super::resolved::Argv;
use super::text::{Checked, Program};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// The message of the error for a field that is written down without a value. `explain` puts it into words.
pub(super) const NOTHING: &str = "nothing";

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
                if entries.len() < MIN {
                    Err(A::Error::custom(NOTHING))
                } else {
                    Ok(Entries(entries))
                }
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
                while let Some(Given(item)) = items.next_element()? {
                    list.push(item);
                }
                if list.len() < MIN {
                    Err(A::Error::custom(NOTHING))
                } else {
                    Ok(List(list))
                }
            }
        }

        deserializer.deserialize_seq(Items(PhantomData))
    }
}

/// A truth value as YAML 1.2 and JSON have it; the YAML library alone would also take `"true"`, which editors that follow the
/// schema refuse.
struct ExactFlag;

/// Whether something is so.
pub(super) struct Flag(pub(super) bool);

impl Visitor<'_> for ExactFlag {
    type Value = Flag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true` or `false`")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Flag, E> {
        Ok(Flag(value))
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactFlag)
    }
}

/// A number, by the same rule: not `"1"`.
struct ExactCount;

/// How many.
pub(super) struct Count(pub(super) u32);

impl Visitor<'_> for ExactCount {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 0")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Count, E> {
        let too_large = Complaint::new(format!("{value} is too large"), format!("at most {}", u32::MAX));
        u32::try_from(value).map(Count).map_err(|_| E::custom(too_large))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Count, E> {
        let negative = Complaint::new(
            format!("{value} is less than nothing"),
            "write a whole number from 0",
        );
        u64::try_from(value)
            .map_err(|_| E::custom(negative))
            .and_then(|value| self.visit_u64(value))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactCount)
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
