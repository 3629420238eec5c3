//! The hub: the machine that has the control plane, the registry and the name server, and routes between the nodes. Pure: names in, files out.

use super::kubeconfig;
use super::names::{API_PORT, API_SERVICE, DOMAIN, HUB_ADDRESS, REGISTRY_PORT, SERVICES};
use super::spec::{Forward, Program, etc};
use super::state::Ports;
use serde_json::{Value, json};

/// Who talks to the API server from the hub, and as whom: the name of the certificate and its common name.
const CLIENTS: [(&str, &str, &[&str]); 3] = [
    ("controller-manager", "system:kube-controller-manager", &[]),
    ("scheduler", "system:kube-scheduler", &[]),
    // No role that Kubernetes brings fits, and the hub could sign itself any name.
    ("dns", "lab-dns", &["system:masters"]),
];

/// The certificates of the hub and of the lab's administrator.
pub(super) fn certificates(hub: &str, keys: &str) -> Vec<Value> {
    let mut asked = vec![
        json!({
            "path": format!("{hub}/apiserver"), "authority": "ca", "name": "kube-apiserver",
            "hosts": [
                "localhost", "127.0.0.1", HUB_ADDRESS, API_SERVICE, "kubernetes", "kubernetes.default",
                "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
            ],
        }),
        json!({
            "path": format!("{hub}/apiserver-kubelet"), "authority": "ca",
            "name": "kube-apiserver-kubelet-client", "groups": ["system:masters"],
        }),
        json!({"path": format!("{hub}/front-proxy"), "authority": "front-proxy-ca", "name": "front-proxy"}),
        json!({"path": format!("{keys}/admin"), "authority": "ca", "name": "admin", "groups": ["system:masters"]}),
    ];
    asked.extend(CLIENTS.map(|(file, name, groups)| {
        json!({"path": format!("{hub}/{file}"), "authority": "ca", "name": name, "groups": groups})
    }));
    asked
}

/// Its configuration: file below `etc`, content.
pub(super) fn files() -> Vec<(String, Value)> {
    let server = format!("https://127.0.0.1:{API_PORT}");
    let mut files: Vec<(String, Value)> = CLIENTS
        .map(|(file, ..)| {
            (format!("{file}.kubeconfig"), kubeconfig::render(&server, &etc("pki"), file, "lab"))
        })
        .into();
    files.push((
        "registry.json".to_owned(),
        json!({
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": "/var/lib/registry"},
                "delete": {"enabled": true},
                "maintenance": {"uploadpurging": {"enabled": false}},
            },
            "http": {"addr": format!(":{REGISTRY_PORT}")},
        }),
    ));
    files
}

/// Its configuration in other formats.
pub(super) fn texts() -> Vec<(String, String)> {
    let config = etc("dns.kubeconfig");
    let zones = format!("{DOMAIN} in-addr.arpa");
    // Names of anywhere else have no answer: nothing of a lab leaves the machine.
    let text = format!(
        "{zones} {{\n  errors\n  cache 5\n  kubernetes {zones} {{\n    kubeconfig {config} lab\n  }}\n}}\n"
    );
    vec![("Corefile".to_owned(), text)]
}

/// The ways in from the host.
pub(super) fn forwards(ports: Ports) -> Vec<Forward> {
    let lead =
        |from: u16, to: u16| Forward { from: format!("127.0.0.1:{from}"), to: format!("127.0.0.1:{to}") };
    vec![lead(ports.api, API_PORT), lead(ports.registry, REGISTRY_PORT)]
}

/// What runs in it.
pub(super) fn programs() -> Vec<Program> {
    let pki = |file: &str| etc(&format!("pki/{file}"));
    let etcd = Program::new(
        "etcd",
        [
            "--data-dir=/var/lib/etcd",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            // A lab's state is worth no wait for the disk.
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
    );
    let apiserver = Program::new(
        "kube-apiserver",
        [
            format!("--advertise-address={HUB_ADDRESS}"),
            format!("--secure-port={API_PORT}"),
            "--etcd-servers=http://127.0.0.1:2379".to_owned(),
            format!("--service-cluster-ip-range={SERVICES}"),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--allow-privileged=true".to_owned(),
            format!("--client-ca-file={}", pki("ca.crt")),
            format!("--tls-cert-file={}", pki("apiserver.crt")),
            format!("--tls-private-key-file={}", pki("apiserver.key")),
            format!("--kubelet-certificate-authority={}", pki("ca.crt")),
            format!("--kubelet-client-certificate={}", pki("apiserver-kubelet.crt")),
            format!("--kubelet-client-key={}", pki("apiserver-kubelet.key")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", pki("sa.pub")),
            format!("--service-account-signing-key-file={}", pki("sa.key")),
            format!("--requestheader-client-ca-file={}", pki("front-proxy-ca.crt")),
            "--requestheader-allowed-names=front-proxy".to_owned(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
            "--requestheader-group-headers=X-Remote-Group".to_owned(),
            "--requestheader-username-headers=X-Remote-User".to_owned(),
            format!("--proxy-client-cert-file={}", pki("front-proxy.crt")),
            format!("--proxy-client-key-file={}", pki("front-proxy.key")),
            // Nobody in the hub knows the nodes by name.
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            // No kube-proxy runs in the hub: extensions are called at their pods.
            "--enable-aggregator-routing=true".to_owned(),
        ],
    )
    .after("tcp:127.0.0.1:2379");
    let controllers = Program::new(
        "kube-controller-manager",
        [
            format!("--kubeconfig={}", etc("controller-manager.kubeconfig")),
            // Each node's file of networks says which addresses its pods get.
            "--controllers=*,-nodeipam".to_owned(),
            "--use-service-account-credentials=true".to_owned(),
            format!("--service-account-private-key-file={}", pki("sa.key")),
            format!("--root-ca-file={}", pki("ca.crt")),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ],
    );
    let scheduler = Program::new(
        "kube-scheduler",
        [
            format!("--kubeconfig={}", etc("scheduler.kubeconfig")),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ],
    );
    let mut registry = Program::new("registry", ["serve".to_owned(), etc("registry.json")]);
    // It would look for a collector of traces otherwise.
    registry.env.insert("OTEL_TRACES_EXPORTER", "none");
    let dns = Program::new("dns", ["-conf".to_owned(), etc("Corefile")]);
    let api = format!("tcp:127.0.0.1:{API_PORT}");
    vec![
        etcd,
        apiserver,
        controllers.after(api.clone()),
        scheduler.after(api.clone()),
        dns.after(api),
        registry,
    ]
}
