//! A node: containerd, the kubelet and kube-proxy on a machine of its own. Pure: names in, files out.

use super::kubeconfig;
use super::names::{API_PORT, DOMAIN, HUB_ADDRESS, Node, PODS, REGISTRY_PORT};
use super::spec::{ETC, Program, Uplink, etc};
use serde_json::{Value, json};

const CONTAINERD: &str = "/run/containerd/containerd.sock";
/// Holds a pod's namespaces; pushed into the lab's registry by `up`.
pub(super) const PAUSE: &str = "slipway/pause:lab";

/// The node's certificates.
pub(super) fn certificates(node: Node, folder: &str) -> Vec<Value> {
    let name = node.name();
    vec![
        json!({
            "path": format!("{folder}/kubelet"), "authority": "ca", "name": format!("system:node:{name}"),
            "groups": ["system:nodes"], "hosts": [name, node.address()],
        }),
        json!({"path": format!("{folder}/proxy"), "authority": "ca", "name": "system:kube-proxy"}),
    ]
}

/// The cable to the hub.
pub(super) fn uplink(node: Node, router: i32) -> Uplink {
    Uplink {
        router,
        device: node.name(),
        address: node.address(),
        gateway: HUB_ADDRESS.to_owned(),
        networks: vec![node.pods()],
    }
}

/// Its configuration in JSON: file below `etc`, content.
pub(super) fn files(node: Node, group: &str) -> Vec<(String, Value)> {
    let server = format!("https://{HUB_ADDRESS}:{API_PORT}");
    let client = |user| kubeconfig::render(&server, &etc("pki"), user, "lab");
    vec![
        ("kubelet.kubeconfig".to_owned(), client("kubelet")),
        ("proxy.kubeconfig".to_owned(), client("proxy")),
        ("kubelet.json".to_owned(), kubelet(node, group)),
        ("proxy.json".to_owned(), proxy(node)),
        ("cni/10-lab.conflist".to_owned(), network(node)),
    ]
}

/// Its configuration in other formats.
pub(super) fn texts() -> Vec<(String, String)> {
    vec![
        ("containerd.toml".to_owned(), containerd()),
        // Whatever registry an image's name begins with, its bytes come from the lab's: nothing is pulled from elsewhere.
        (
            "certs.d/_default/hosts.toml".to_owned(),
            format!(
                "[host.\"http://{HUB_ADDRESS}:{REGISTRY_PORT}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
            ),
        ),
        // Pods have no names of the host's network to look up.
        ("resolv.conf".to_owned(), String::new()),
    ]
}

/// What runs in it.
pub(super) fn programs(node: Node) -> Vec<Program> {
    let api = format!("tcp:{HUB_ADDRESS}:{API_PORT}");
    vec![
        Program::new("containerd", [format!("--config={}", etc("containerd.toml"))]),
        Program::new(
            "kubelet",
            [
                format!("--config={}", etc("kubelet.json")),
                format!("--kubeconfig={}", etc("kubelet.kubeconfig")),
                format!("--hostname-override={}", node.name()),
                format!("--node-ip={}", node.address()),
                format!(
                    "--node-labels=topology.kubernetes.io/zone={},topology.kubernetes.io/region=lab",
                    node.zone()
                ),
            ],
        )
        .after(format!("unix:{CONTAINERD}")),
        Program::new("kube-proxy", [format!("--config={}", etc("proxy.json"))]).after(api),
    ]
}

fn kubelet(node: Node, group: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address(),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": etc("pki/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": etc("pki/kubelet.crt"),
        "tlsPrivateKeyFile": etc("pki/kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        "cgroupDriver": "cgroupfs",
        // Kubelets that share one take each other's pods for orphans and kill them.
        "cgroupRoot": group,
        "clusterDomain": DOMAIN,
        "clusterDNS": [HUB_ADDRESS],
        "resolvConf": etc("resolv.conf"),
        // The machine is a laptop or a runner: what it is like is no reason to refuse.
        "failSwapOn": false,
        "failCgroupV1": false,
        "oomScoreAdj": 0,
        "serializeImagePulls": false,
        // The disk is the host's: a lab must not clean up or evict because somebody else filled it.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "64Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "registerNode": true,
    })
}

fn proxy(node: Node) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": etc("proxy.kubeconfig")},
        "mode": "nftables",
        "clusterCIDR": PODS,
        "hostnameOverride": node.name(),
        "oomScoreAdj": 0,
        // Limits of connection tracking are the host's to set.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    })
}

/// Point to point: every packet is routed, so that services work the same from everywhere and no bridge is needed.
fn network(node: Node) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "lab",
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": node.pods()}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

fn containerd() -> String {
    format!(
        r#"version = 3
oom_score = 0
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '{PAUSE_HOST}/{PAUSE}'
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = '{ETC}/certs.d'
[plugins.'io.containerd.cri.v1.runtime']
  # Without CAP_SYS_RESOURCE no score can be lowered, and containers would not start.
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['/run/lab/bin']
    conf_dir = '{ETC}/cni'
    use_internal_loopback = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = false
"#
    )
}

/// Any name would do: see `certs.d/_default`.
const PAUSE_HOST: &str = "registry.lab";
