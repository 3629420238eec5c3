//! Files that say where the API server is and who asks. Pure. Kubernetes reads JSON wherever it reads YAML.

use serde_json::{Value, json};

/// A kubeconfig. `folder` holds `ca.crt`, `USER.crt` and `USER.key`.
pub(super) fn render(server: &str, folder: &str, user: &str, context: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "clusters": [{"name": context, "cluster": {
            "server": server,
            "certificate-authority": format!("{folder}/ca.crt"),
        }}],
        "users": [{"name": context, "user": {
            "client-certificate": format!("{folder}/{user}.crt"),
            "client-key": format!("{folder}/{user}.key"),
        }}],
    })
}
