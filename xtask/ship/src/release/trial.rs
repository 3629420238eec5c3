//! Tries objects on the cluster without changing it: a server-side dry run as Helm would apply them, beside what is live. Admission,
//! immutable fields and conflicts with other managers show here instead of half-way through an upgrade. What Helm fails to put back can
//! be put back from here ([`Trial::restore`]).

use super::error::ReleaseError;
use super::objects::Object;
use super::open::Cx;
use crate::cluster::{Apply, Kind};
use serde_json::Value;
use std::collections::BTreeMap;

/// The manager as which Helm applies.
const MANAGER: &str = "helm";

/// Objects of one release, tried one by one. Remembers which kinds the cluster knows.
pub(crate) struct Trial<'a> {
    cx: &'a Cx,
    kinds: BTreeMap<(String, String), Option<Kind>>,
}

/// What came of one object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tried {
    /// The object.
    pub(crate) title: String,
    /// Its kind, for who must not show its content.
    pub(crate) kind: String,
    /// As it is on the cluster.
    pub(crate) live: Option<Value>,
    /// As it would be, or why the cluster refuses it.
    pub(crate) after: Result<Value, String>,
}

impl Tried {
    /// `+ Deployment hello` for a new one, `~` for one that changes.
    pub(crate) fn change(&self) -> Option<String> {
        let after = self.after.as_ref().ok()?;
        match &self.live {
            None => Some(format!("+ {}", self.title)),
            Some(live) if meaning(live) == meaning(after) => None,
            Some(_) => Some(format!("~ {}", self.title)),
        }
    }

    /// Object and reason, if the cluster refuses it.
    pub(crate) fn refusal(&self) -> Option<(String, String)> {
        self.after.as_ref().err().map(|why| (self.title.clone(), why.clone()))
    }
}

/// The part of an object that a person wrote or would notice.
pub(crate) fn meaning(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"] {
            metadata.remove(field);
        }
    }
    object
}

impl<'a> Trial<'a> {
    /// Knows nothing yet.
    pub(crate) fn new(cx: &'a Cx) -> Self {
        Trial { cx, kinds: BTreeMap::new() }
    }

    /// Tries them all.
    pub(crate) async fn all(&mut self, objects: &[Object]) -> Result<Vec<Tried>, ReleaseError> {
        let mut tried = Vec::new();
        for object in objects {
            tried.push(self.one(object).await?);
        }
        Ok(tried)
    }

    /// The object as it is now.
    pub(crate) async fn live(&mut self, object: &Object) -> Result<Option<Value>, ReleaseError> {
        let Some(kind) = self.kind(object).await? else { return Ok(None) };
        Ok(self.cx.cluster.object(&kind, self.namespace(object), &object.name).await?)
    }

    async fn one(&mut self, object: &Object) -> Result<Tried, ReleaseError> {
        let (title, kind) = (object.title(), object.kind.clone());
        let Some(known) = self.kind(object).await? else {
            let why = format!("the cluster has no {} of {}", object.kind, object.api_version);
            return Ok(Tried { title, kind, live: None, after: Err(why) });
        };
        let live = self.live(object).await?;
        let owned = self.owned(object);
        let applied = (object.name.as_str(), &owned);
        let how = (MANAGER, Apply::Dry);
        let after = self.cx.cluster.apply(&known, self.namespace(object), applied, how).await?;
        Ok(Tried { title, kind, live, after })
    }

    /// Applies an object as Helm would, whoever else claims its fields. Gives the reason if the cluster refuses it.
    pub(crate) async fn restore(&mut self, object: &Object) -> Result<Result<(), String>, ReleaseError> {
        let Some(known) = self.kind(object).await? else {
            return Ok(Err(format!("the cluster has no {} of {}", object.kind, object.api_version)));
        };
        let owned = self.owned(object);
        let (applied, how) = ((object.name.as_str(), &owned), (MANAGER, Apply::Forced));
        Ok(self.cx.cluster.apply(&known, self.namespace(object), applied, how).await?.map(drop))
    }

    fn namespace<'o>(&self, object: &'o Object) -> &'o str
    where
        'a: 'o,
    {
        object.namespace.as_deref().unwrap_or(&self.cx.namespace)
    }

    /// As Helm applies it: with the marks by which it knows its own.
    fn owned(&self, object: &Object) -> Value {
        let mut value = object.value.clone();
        let marks = [
            ("/metadata/labels", "app.kubernetes.io/managed-by", "Helm"),
            ("/metadata/annotations", "meta.helm.sh/release-name", self.cx.release.as_str()),
            ("/metadata/annotations", "meta.helm.sh/release-namespace", self.cx.namespace.as_str()),
        ];
        for (path, key, mark) in marks {
            let field = path.rsplit('/').next().unwrap_or_default();
            if let Some(metadata) = value.pointer_mut("/metadata").and_then(Value::as_object_mut) {
                let map = metadata.entry(field).or_insert_with(|| Value::Object(serde_json::Map::new()));
                if map.is_null() {
                    *map = Value::Object(serde_json::Map::new());
                }
                if let Some(map) = map.as_object_mut() {
                    map.insert(key.to_owned(), Value::from(mark));
                }
            }
        }
        value
    }

    async fn kind(&mut self, object: &Object) -> Result<Option<Kind>, ReleaseError> {
        let key = (object.api_version.clone(), object.kind.clone());
        if let Some(known) = self.kinds.get(&key) {
            return Ok(known.clone());
        }
        let found = self.cx.cluster.kind(&object.api_version, &object.kind).await?;
        self.kinds.insert(key, found.clone());
        Ok(found)
    }
}
