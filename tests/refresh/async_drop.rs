//! Futures of a refresh: where they run, and what becomes of the claim when they are dropped.

use std::{
    future::{Future, pending},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use tokenkeep::{Answer, Need, Refreshed, Token, TokenStore, TokenStoreExt};
use tokio::{
    runtime::{Builder, Runtime},
    task::spawn_blocking,
};

use crate::{
    client::Client,
    endpoint::{Event, Plan},
    stage::{Stage, ada, assert_taken, claim, secret},
};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap()
}

async fn request(client: Client, token: Token) -> Answer {
    spawn_blocking(move || client.refresh(&token)).await.unwrap()
}

/// Tasks of a runtime with several threads, which want futures that can be sent.
pub(crate) fn tasks() {
    let stage = Stage::new();
    stage.sign_in("ada");
    stage.endpoint.plan(|_| Plan { after: Duration::from_millis(50), ..Plan::default() });
    let (runtime, client) = (runtime(), stage.client);
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let store = stage.store.clone();
            runtime.spawn(async move {
                store.refresh_with_async(&ada(), Need::default(), |token| request(client, token)).await
            })
        })
        .collect();
    for task in tasks {
        let refreshed = runtime.block_on(task).unwrap().unwrap();
        assert!(matches!(refreshed, Refreshed::Fresh(token) if client.is_accepted(&token)));
    }
    assert_eq!(stage.endpoint.count(Event::Arrived), 1);
    stage.endpoint.assert_well_treated();
}

/// The future is dropped while the closure's future has not answered.
pub(crate) fn before_answer() {
    let stage = Stage::new();
    let runtime = runtime();
    for sent in [false, true] {
        stage.sign_in("ada");
        let (sender, entered) = std::sync::mpsc::channel();
        let (store, client) = (stage.store.clone(), stage.client);
        let task = runtime.spawn(async move {
            let request = |token: Token| async move {
                if sent {
                    request(client, token).await;
                }
                sender.send(()).unwrap();
                pending().await
            };
            drop(store.refresh_with_async(&ada(), Need::default(), request).await);
        });
        entered.recv().unwrap();
        assert_taken(&stage.store, &ada());
        let waiting = {
            let (store, client) = (stage.store.clone(), stage.client);
            thread::spawn(move || {
                let claim = claim(&store, &ada(), Need::default());
                let (claimed, was_left_unfinished) = (Instant::now(), claim.was_left_unfinished());
                let answer = client.refresh(claim.token().unwrap());
                (claimed, was_left_unfinished, claim.finish(answer).unwrap())
            })
        };
        thread::sleep(Duration::from_millis(100));
        let dropped = Instant::now();
        task.abort();
        assert!(runtime.block_on(task).unwrap_err().is_cancelled());
        let (claimed, was_left_unfinished, refreshed) = waiting.join().unwrap();
        println!("the next caller had the claim {:.1?} after the future was dropped", claimed - dropped);
        assert!(was_left_unfinished && claimed - dropped < Duration::from_secs(2));
        match refreshed {
            Refreshed::Fresh(token) => assert!(!sent && stage.client.is_accepted(&token)),
            // As the documentation says: the server had handled the request.
            Refreshed::SignInAgain(_) => assert!(sent),
            other => panic!("expected an end, got {other:?}"),
        }
    }
}

/// The future is dropped after the closure's future has answered, while the answer is being saved.
pub(crate) fn after_answer() {
    let stage = Stage::new();
    let mut pending_saves = 0;
    for _ in 0..20 {
        stage.sign_in("ada");
        let client = stage.client;
        {
            let query = ada();
            let future = stage.store.refresh_with_async(&query, Need::default(), |token| async move {
                client.refresh(&token) // the test waits for nothing else here
            });
            let polled = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
            pending_saves += usize::from(matches!(polled, Poll::Pending));
        }
        let started = Instant::now();
        loop {
            let row = stage.store.find_stored(&ada()).unwrap().unwrap();
            if secret(row.refresh_token()) == stage.endpoint.valid_refresh_token() {
                break assert!(client.is_accepted(&row));
            }
            assert!(started.elapsed() < Duration::from_secs(10), "the answer is lost");
            thread::sleep(Duration::from_millis(1));
        }
    }
    println!("{pending_saves} of 20 futures were dropped during the save, and all were saved");
    assert!(pending_saves > 0);
    assert_eq!(stage.endpoint.count(Event::Arrived), 20);
    stage.endpoint.assert_well_treated();
}

/// A caller with a time limit of its own gives up while it waits; it holds nothing, and others go on.
pub(crate) fn while_waiting() {
    let stage = Stage::new();
    stage.sign_in("ada");
    let held = claim(&stage.store, &ada(), Need::default());
    let runtime = runtime();
    let store = stage.store.clone();
    let given_up = runtime.block_on(async move {
        let query = ada();
        let refresh = store.refresh_with_async(&query, Need::default(), |_| async { panic!("another has the claim") });
        tokio::time::timeout(Duration::from_millis(200), refresh).await
    });
    assert!(given_up.is_err());
    let answer = stage.client.refresh(held.token().unwrap());
    assert!(matches!(held.finish(answer).unwrap(), Refreshed::Fresh(_)));
    stage.sign_in("ada");
    assert!(!claim(&stage.store, &ada(), Need::default()).was_left_unfinished());
}

/// A runtime of one thread goes on while a task waits for a claim, and while it saves.
pub(crate) fn one_thread() {
    let stage = Stage::new();
    stage.sign_in("ada");
    let held = claim(&stage.store, &ada(), Need::default());
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let longest = Arc::new(AtomicUsize::new(0));
    let ticking = {
        let longest = longest.clone();
        async move {
            loop {
                let before = Instant::now();
                tokio::time::sleep(Duration::from_millis(5)).await;
                longest.fetch_max(before.elapsed().as_millis().try_into().unwrap(), Ordering::SeqCst);
            }
        }
    };
    runtime.spawn(ticking);
    let client = stage.client;
    let holder = thread::spawn(move || {
        thread::sleep(Duration::from_secs(1));
        drop(held); // it has sent nothing
    });
    let query = ada();
    let refresh = stage.store.refresh_with_async(&query, Need::default(), |token| request(client, token));
    let started = Instant::now();
    assert!(matches!(runtime.block_on(refresh).unwrap(), Refreshed::Fresh(_)));
    assert!(started.elapsed() >= Duration::from_millis(900));
    holder.join().unwrap();
    let longest = longest.load(Ordering::SeqCst);
    println!("a tick of 5 ms took at most {longest} ms while a task of the same thread waited and saved");
    assert!((5..500).contains(&longest));
}
