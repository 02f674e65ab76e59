//! Random operations on our stores and on a model of the rules.

use crate::{common::Fixture, steps::step};
use proptest::{collection::vec, prelude::*};
use tokenkeep::{
    MemoryStore,
    fuzzing::model::{Model, Step, Store},
};

fn check(step: &Step, store: &dyn Store, model: &mut Model) {
    model.check(step, store).unwrap();
    model.assert_is_in(store).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::common::cases(256), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_memory_store_does_what_the_model_does(steps in vec(step(), 1..60)) {
        let (store, mut model) = (MemoryStore::new(), Model::default());
        steps.iter().for_each(|step| check(step, &store, &mut model));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::common::cases(24), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_keystore_does_what_the_model_does_across_reopenings(parts in vec(vec(step(), 1..40), 1..3)) {
        let (fixture, mut model) = (Fixture::new(), Model::default());
        for steps in parts {
            let store = fixture.open();
            model.assert_is_in(&store).unwrap();
            steps.iter().for_each(|step| check(step, &store, &mut model));
        }
        model.assert_is_in(&fixture.open()).unwrap();
    }
}
