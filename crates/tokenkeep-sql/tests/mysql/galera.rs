//! A cluster of three nodes that all take writes: `bash .ci/campaign galera`.

use std::{net::TcpListener, thread, time::Duration};

use mysql::prelude::Queryable;
use tokenkeep_sql::SqlOptions;

use crate::{
    common::Fixture,
    database::{self, Place},
    processes,
    server::{Server, require},
};

/// The flags of a node. The group is found by the ports of its members.
fn flags(node: usize, group: &[u16]) -> Vec<String> {
    let own = group[node];
    let members: Vec<_> = group.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    vec![
        "--wsrep-on=ON".to_owned(),
        "--wsrep-provider=/usr/lib/galera/libgalera_smm.so".to_owned(),
        format!("--wsrep-cluster-address=gcomm://{}", members.join(",")),
        format!(
            "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{own};ist.recv_addr=127.0.0.1:{};gcache.size=32M",
            own + 1
        ),
        format!("--wsrep-node-address=127.0.0.1:{own}"),
        format!("--wsrep-sst-receive-address=127.0.0.1:{}", own + 2),
        format!("--wsrep-node-name=node{node}"),
        "--wsrep-sst-method=rsync".to_owned(),
        "--binlog-format=ROW".to_owned(),
        "--innodb-autoinc-lock-mode=2".to_owned(),
        "--innodb-flush-log-at-trx-commit=1".to_owned(),
    ]
}

fn start(node: usize, group: &[u16], is_first: bool) -> &'static Server {
    let mut flags = flags(node, group);
    if is_first {
        flags.push("--wsrep-new-cluster".to_owned());
    }
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    Box::leak(Box::new(Server::start(database::PREPARE, &flags)))
}

/// Until the node is a part of the cluster, and has caught up.
fn wait_until_synced(server: &Server) {
    server.wait_for(|| {
        let mut root = database::connect(server, "mysql")?;
        let state: Vec<(String, String)> =
            root.query("SHOW STATUS LIKE 'wsrep_local_state_comment'").map_err(|error| error.to_string())?;
        if state.iter().any(|(_, state)| state == "Synced") { Ok(()) } else { Err(format!("{state:?}")) }
    });
}

#[test]
#[ignore = "a campaign: three servers"]
fn galera_cluster_loses_no_acknowledged_save() {
    require("rsync", "rsync");
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let group = [free(), free(), free()];
    let first = start(0, &group, true);
    wait_until_synced(first);
    let mut root = database::connect(first, "mysql").unwrap();
    root.query_drop("CREATE USER app@'%' IDENTIFIED BY 'hunter2'").unwrap();
    root.query_drop("GRANT ALL ON *.* TO app@'%'").unwrap();
    let mut nodes = vec![first];
    for node in 1..3 {
        nodes.push(start(node, &group, false));
        wait_until_synced(nodes[node]);
    }
    let fixture = Fixture::in_place(Place::on(first), &SqlOptions::new());
    let others =
        [1, 2].map(|node| fixture.url.replace(&format!(":{}/", first.port), &format!(":{}/", nodes[node].port)));
    processes::torture(&fixture, &others, |round| {
        if round % 12 != 6 {
            return 0;
        }
        nodes[2].kill();
        thread::sleep(Duration::from_secs(1));
        nodes[2].start_again();
        wait_until_synced(nodes[2]);
        1
    });
    for node in &nodes {
        wait_until_synced(node);
        let size: Vec<(String, String)> =
            database::connect(node, "mysql").unwrap().query("SHOW STATUS LIKE 'wsrep_cluster_size'").unwrap();
        assert_eq!(size[0].1, "3");
    }
}
