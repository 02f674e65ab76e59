//! Samples that are made of the contents beside them.

use std::{collections::BTreeMap, fs};

use serde_json::{Map, Value};

use super::{KINDS, Sample, sample, store_key};
use crate::{
    directory::vectors,
    reader::{self, unhex},
    writer::{Ancestor, Draft, Note, Payload, Record, Slot, TEXTS_AFTER_TIMES, TEXTS_BEFORE_TIMES, TIMES, Table},
};

/// The same contents as before, as the format is now: all but the key id and the ancestors.
pub(super) fn of_contents(name: &str) -> Sample {
    let path = vectors().join(format!("{name}.json"));
    let contents: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    let store_id: [u8; 16] = unhex(contents["store_id"].as_str().unwrap()).try_into().unwrap();
    let generation = number(&contents["generation"]);

    let mut secrets = KINDS.map(|kind| contents[kind].as_array().into_iter().flatten());
    let mut next_secret = |kind: usize| secrets[kind].next().unwrap().as_str().unwrap();
    let in_json = contents["slots"].as_array().unwrap();
    let slots = in_json.iter().map(|slot| {
        let made = match slot["kind"].as_str().unwrap() {
            "passphrase" => Slot::passphrase(0, next_secret(0)),
            "keychain" => Slot::keychain(0, unhex(next_secret(1)).try_into().unwrap()),
            _ => Slot::recovery_key(0, reader::recovery_key(next_secret(2)).unwrap().try_into().unwrap()),
        };
        let [m_kib, t, p] = ["m_kib", "t", "p"].map(|cost| number(&slot[cost]).try_into().unwrap());
        let slot_id = unhex(slot["slot_id"].as_str().unwrap()).try_into().unwrap();
        Slot { m_kib, t, p, slot_id, derives_at_any_cost: true, ..made }
    });
    let slots: Vec<_> = slots.collect();
    let notes = in_json.iter().map(|in_json| {
        let (label, created_at) = (in_json["label"].as_str().unwrap(), number(&in_json["created_at"]));
        Note::new(label, created_at)
    });
    let tokens = contents["tokens"].as_array().unwrap();
    let parts: Vec<_> = tokens.iter().map(Parts::of).collect();
    let records: Vec<_> = tokens.iter().zip(&parts).map(|(token, parts)| parts.record(token)).collect();
    let ancestors = Ancestor::made_up(&store_id, generation);
    let table = Table {
        revision: number(&contents["table_revision"]),
        notes: notes.collect(),
        ..Table::new(store_id, store_key(name), slots)
    };
    let draft = Draft::new(generation, table, Payload::new(number(&contents["next_id"]), &ancestors, &records));
    let sample = sample(name, draft.seal(), &contents_of_kinds(&contents));
    for member in ["store_id", "generation", "table_revision", "next_id", "slots", "tokens"] {
        assert!(sample.beside[member] == contents[member], "{name}: {member}");
    }
    sample
}

fn contents_of_kinds(contents: &Value) -> Value {
    KINDS.iter().map(|kind| ((*kind).to_owned(), contents[kind].clone())).collect::<Map<_, _>>().into()
}

/// What a record borrows.
struct Parts<'a> {
    texts: Vec<(&'a str, &'a str)>,
    times: Vec<(&'a str, u64)>,
    scopes: Vec<&'a str>,
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    fn of(token: &'a Value) -> Self {
        let text = |value: &'a Value| value.as_str().unwrap();
        let texts = TEXTS_BEFORE_TIMES.into_iter().chain(TEXTS_AFTER_TIMES);
        let attributes: BTreeMap<_, _> = token["attributes"].as_object().unwrap().iter().collect();
        Self {
            texts: texts.filter_map(|name| Some((name, token[name].as_str()?))).collect(),
            times: TIMES.into_iter().filter_map(|name| Some((name, token[name].as_u64()?))).collect(),
            scopes: token["scopes"].as_array().unwrap().iter().map(text).collect(),
            attributes: attributes.into_iter().map(|(name, value)| (name.as_str(), text(value))).collect(),
        }
    }

    fn record(&'a self, token: &'a Value) -> Record<'a> {
        let number = |name: &str| token[name].as_u64().unwrap();
        Record {
            namespace: token["namespace"].as_str().unwrap_or_default(),
            times: &self.times,
            failures: token["failures"].as_u64().unwrap_or_default().try_into().unwrap(),
            scopes: &self.scopes,
            attributes: &self.attributes,
            created_at: number("created_at"),
            updated_at: number("updated_at"),
            revision: number("revision"),
            ..Record::new(token["id"].as_str().unwrap(), &self.texts)
        }
    }
}
