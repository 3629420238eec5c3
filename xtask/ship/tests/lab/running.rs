//! What a lab is for: pods run, services answer, nodes are drained, die and come back.

use crate::inside::eventually;
use crate::inventory::process_state;
use crate::support::Lab;

#[test]
fn an_unprivileged_pod_of_a_local_image_runs_and_its_service_answers_by_address_and_by_name() {
    let lab = Lab::up("pod", 1);
    let status = lab.status();
    assert_eq!(status["ready"], true, "{status:#}");
    lab.kubectl(&["label", "namespace", "default", "pod-security.kubernetes.io/enforce=restricted"]);
    lab.serve(1);
    lab.answers(&lab.pid("n1"));

    let image = lab.kubectl(&[
        "get",
        "pods",
        "-l",
        "app=server",
        "-o",
        "jsonpath={.items[0].status.containerStatuses[0].imageID}",
    ]);
    assert!(image.contains("@sha256:"), "{image}");
    let logs = lab.kubectl(&["logs", "deployment/server"]);
    assert!(logs.contains("listening on"), "the kubelet answers the API server: {logs}");
    let settings = lab.kubectl(&["get", "--raw", "/api/v1/nodes/n1/proxy/configz"]);
    assert!(settings.contains("\"clusterDNS\":[\"10.200.0.1\"]"), "{settings}");
    let mut lookup = std::process::Command::new("nsenter");
    let network = format!("--net=/proc/{}/ns/net", lab.pid("n1"));
    let ask = "import socket,sys\n\
        q=b'\\0\\7\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0'+b''.join(bytes([len(p)])+p.encode() for p in sys.argv[1].split('.'))+b'\\0\\0\\1\\0\\1'\n\
        s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.settimeout(5); s.sendto(q,('10.200.0.1',53)); r=s.recv(512)\n\
        print('.'.join(map(str,r[-4:])) if r[3]&15==0 and r[7] else '')";
    let answer =
        lookup.args([&network, "python3", "-c", ask, "server.default.svc.cluster.local"]).output().unwrap();
    let address = lab.kubectl(&["get", "service", "server", "-o", "jsonpath={.spec.clusterIP}"]);
    assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), address, "{answer:?}");
}

#[test]
fn a_drained_node_gives_its_pods_to_the_other_and_the_service_answers() {
    let lab = Lab::up("drain", 2);
    lab.serve(2);
    assert_eq!(lab.nodes_of_pods(), ["n1", "n2"], "spread over the zones");
    lab.kubectl(&["drain", "n1", "--timeout=120s", "--delete-emptydir-data"]);
    lab.kubectl(&["rollout", "status", "deployment/server", "--timeout=120s"]);
    assert_eq!(lab.nodes_of_pods(), ["n2", "n2"]);
    // kube-proxy of the other node forwards to pods that it does not have.
    lab.answers(&lab.pid("n1"));
}

#[test]
fn a_zone_without_power_is_seen_and_comes_back_with_its_disk() {
    let lab = Lab::up("zone", 2);
    lab.serve(2);
    let lost = lab.pid("n2");
    lab.run(&["zone", "stop", "zone-b"]);
    let state = process_state(&lost);
    assert!(matches!(state, None | Some('Z' | 'X')), "it is dead when the command ends: {state:?}");
    let status = lab.status();
    assert_eq!((&status["machines"][2]["state"], &status["ready"]), (&"off".into(), &false.into()));
    let ready = || {
        lab.kubectl(&[
            "get",
            "node",
            "n2",
            "-o",
            "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}",
        ])
    };
    eventually("the cluster sees that the node is gone", || ready() == "Unknown");
    eventually("its pod is replaced", || {
        lab.kubectl(&["get", "deployment", "server", "-o", "jsonpath={.status.availableReplicas}"]) == "2"
    });
    lab.answers(&lab.pid("n1"));

    lab.run(&["node", "start", "n2"]);
    eventually("the node is ready again", || ready() == "True");
    let image = lab.kubectl(&["get", "node", "n2", "-o", "jsonpath={.status.images[*].names}"]);
    assert!(image.contains("server"), "its images are still there: {image}");
}
