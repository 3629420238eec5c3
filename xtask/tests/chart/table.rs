//! Which test notices when a line of the chart is weakened. A line that guards something and is missing here fails a test.

/// A line of a template that is taken away or weakened, and the unit test that turns red.
pub(crate) struct Mutation {
    /// Relative to `templates/`.
    pub(crate) template: &'static str,
    /// What stands there, once.
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    /// The suite, `tests/<suite>_test.yaml`.
    pub(crate) suite: &'static str,
    /// What its test says.
    pub(crate) red: &'static str,
}

/// A line of a rule that is taken away or weakened, and the file of tests that turns red.
pub(crate) struct RuleMutation {
    /// Below `rules/`.
    pub(crate) rules: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    /// Below `tests/rules/`.
    pub(crate) red: &'static str,
}

const fn m(
    template: &'static str,
    from: &'static str,
    to: &'static str,
    suite: &'static str,
    red: &'static str,
) -> Mutation {
    Mutation { template, from, to, suite, red }
}

const fn r(rules: &'static str, from: &'static str, to: &'static str, red: &'static str) -> RuleMutation {
    RuleMutation { rules, from, to, red }
}

const SCHEMA: &str = "../values.schema.json";
const RESTRICTED: &str = "passes the restricted pod standard";
const POLICY: &str = "denies the server everything but HTTP from anywhere and scrapes from monitoring";
const TEST_POLICY: &str = "lets the test pod reach the server and nothing else";
const STORE: &str = "come from a store of the namespace, and are read again and again";
const FILES: &str = "reach the service as files that it may only read, and SYS_ENV is none of them";
const SPREAD: &str = "spreads the pods of one revision over zones and nodes";
const BUDGET: &str = "lets a node drain take one pod at a time, whoever decides how many there are";
const OBJECTS: &str = "carries its environment and belongs to the release's namespace";

/// What makes a line of a template one that guards something.
pub(crate) const GUARDS: [&str; 46] = [
    "fail ",
    "required ",
    "environment:",
    "runAs",
    "fsGroup",
    "RuntimeDefault",
    "allowPrivilegeEscalation",
    "privileged",
    "readOnly",
    "drop:",
    "automount",
    "enableServiceLinks",
    "policyTypes",
    "ingress:",
    "egress:",
    "podSelector",
    "namespaceSelector",
    "kubernetes.io/metadata.name",
    "app.testSelector",
    "immutable",
    "resource-policy",
    "secretKeyRef",
    "secretName:",
    "defaultMode",
    "kind: SecretStore",
    "creationPolicy",
    "deletionPolicy",
    "refreshPolicy",
    "refreshInterval",
    "maxUnavailable",
    "unhealthyPodEvictionPolicy",
    "whenUnsatisfiable",
    "matchLabelKeys",
    "metadata.labels['environment']",
    "app.image\"",
    "podSecurityContext\"",
    "containerSecurityContext\"",
    "toYaml .Values.resources",
    "terminationGracePeriodSeconds",
    "cert-manager.io",
    "allowFrom",
    "sectionName:",
    "tolerations:",
    "cpu:",
    "memory:",
    "activeDeadlineSeconds",
];

#[rustfmt::skip]
pub(crate) const TABLE: &[Mutation] = &[
    // Security context.
    m("_helpers.tpl", "runAsNonRoot: true\n", "", "deployment", RESTRICTED),
    m("_helpers.tpl", "runAsNonRoot: true", "runAsNonRoot: false", "test_pod", RESTRICTED),
    m("_helpers.tpl", "runAsUser: 65532", "runAsUser: 0", "deployment", RESTRICTED),
    m("_helpers.tpl", "runAsGroup: 65532\n", "", "deployment", RESTRICTED),
    m("_helpers.tpl", "fsGroup: 65532\n", "", "deployment", RESTRICTED),
    m("_helpers.tpl", "type: RuntimeDefault", "type: Unconfined", "deployment", RESTRICTED),
    m("_helpers.tpl", "seccompProfile:\n  type: RuntimeDefault\n", "", "test_pod", RESTRICTED),
    m("_helpers.tpl", "allowPrivilegeEscalation: false\n", "", "deployment", RESTRICTED),
    m("_helpers.tpl", "privileged: false", "privileged: true", "deployment", RESTRICTED),
    m("_helpers.tpl", "readOnlyRootFilesystem: true\n", "", "deployment", RESTRICTED),
    m("_helpers.tpl", "drop: [\"ALL\"]", "drop: [\"NET_RAW\"]", "deployment", RESTRICTED),
    m("_helpers.tpl", "capabilities:\n  drop: [\"ALL\"]\n", "", "test_pod", RESTRICTED),
    m("deployment.yaml", "      securityContext:\n        {{- include \"app.podSecurityContext\" . | nindent 8 }}\n", "", "deployment", RESTRICTED),
    m("deployment.yaml", "          securityContext:\n            {{- include \"app.containerSecurityContext\" . | nindent 12 }}\n", "", "deployment", RESTRICTED),
    m("tests/healthz.yaml", "  securityContext:\n    {{- include \"app.podSecurityContext\" . | nindent 4 }}\n", "", "test_pod", RESTRICTED),
    m("tests/healthz.yaml", "      securityContext:\n        {{- include \"app.containerSecurityContext\" . | nindent 8 }}\n", "", "test_pod", RESTRICTED),
    m("deployment.yaml", "    spec:\n", "    spec:\n      hostNetwork: true\n", "deployment", RESTRICTED),
    m("deployment.yaml", "    spec:\n", "    spec:\n      hostPID: true\n", "deployment", RESTRICTED),
    m("deployment.yaml", "    spec:\n", "    spec:\n      hostIPC: true\n", "deployment", RESTRICTED),
    // Credentials of the cluster.
    m("deployment.yaml", "automountServiceAccountToken: false", "automountServiceAccountToken: true", "deployment", "gives the pod no credentials of the cluster"),
    m("deployment.yaml", "      automountServiceAccountToken: false\n", "", "deployment", "gives the pod no credentials of the cluster"),
    m("deployment.yaml", "      serviceAccountName: {{ include \"app.fullname\" . }}\n", "", "deployment", "gives the pod no credentials of the cluster"),
    m("deployment.yaml", "enableServiceLinks: false", "enableServiceLinks: true", "deployment", "gives the pod no credentials of the cluster"),
    m("serviceaccount.yaml", "automountServiceAccountToken: false\n", "", "service", "has an account without a token"),
    m("tests/healthz.yaml", "  automountServiceAccountToken: false\n", "", "test_pod", RESTRICTED),
    m("tests/healthz.yaml", "enableServiceLinks: true", "enableServiceLinks: false", "test_pod", "runs when helm test is called, and asks the Service by its address"),
    m("tests/healthz.yaml", "  activeDeadlineSeconds: 60\n", "", "test_pod", "runs when helm test is called, and asks the Service by its address"),
    // Image and environment.
    m("_helpers.tpl", "{{ .repository }}@{{ .digest }}", "{{ .repository }}:{{ .tag }}", "values", "takes the digest and forgets the tag when it has both"),
    m("_helpers.tpl", "else if eq $.Values.environment \"prod\"", "else if false", "values", "refuses prod without a digest"),
    m("_helpers.tpl", "fail \"image.digest is missing: prod", "print \"image.digest is missing: prod", "values", "refuses prod without a digest"),
    m("_helpers.tpl", "required \"image.tag or image.digest is missing\" .tag", ".tag", "values", "refuses an image without tag and digest"),
    m("_helpers.tpl", "environment: {{ .Values.environment }}\n", "", "objects", OBJECTS),
    m("_helpers.tpl", "CONFIG_ENVIRONMENT: {{ .Values.environment | quote }}\n", "", "configmap", "holds what the service is told, and cannot change"),
    m("deployment.yaml", "fieldPath: metadata.labels['environment']", "fieldPath: metadata.name", "deployment", "tells the service where the pod is, from the pod's own label and not from the configuration"),
    m("deployment.yaml", "image: {{ include \"app.image\" . }}", "image: app:main", "values", "takes the digest and forgets the tag when it has both"),
    m("tests/healthz.yaml", "image: {{ include \"app.image\" . }}", "image: app:main", "test_pod", "is the service's own image, and no pod of the Service"),
    m("configmap.yaml", "immutable: true\n", "", "configmap", "holds what the service is told, and cannot change"),
    m("configmap.yaml", "helm.sh/resource-policy: keep", "example.com/a: b", "configmap", "stays for the pods of the previous revision"),
    m("_helpers.tpl", " | sha256sum | trunc 10 }}", " | len }}", "configmap", "has a name that follows its content"),
    m("_helpers.tpl", "gt (len $name) 46", "gt (len $name) 53", "values", "refuses a name that would be cut in those of pods"),
    m("_helpers.tpl", "fail (printf \"%s is longer", "print (printf \"%s is longer", "values", "refuses a name that would be cut in those of pods"),
    // Network.
    m("networkpolicy.yaml", "policyTypes: [\"Ingress\", \"Egress\"]\n  ingress:\n    - ports", "policyTypes: [\"Ingress\"]\n  ingress:\n    - ports", "networkpolicy", POLICY),
    m("networkpolicy.yaml", "policyTypes: [\"Ingress\", \"Egress\"]\n  ingress: []", "policyTypes: [\"Egress\"]\n  ingress: []", "networkpolicy", TEST_POLICY),
    m("networkpolicy.yaml", "  ingress:\n    - ports:\n        - port: http\n          protocol: TCP\n      {{- with", "  ingress:\n    - {}\n    - ports:\n        - port: http\n          protocol: TCP\n      {{- with", "networkpolicy", POLICY),
    m("networkpolicy.yaml", "    {{- end }}\n  egress: []\n", "    {{- end }}\n  egress: [{}]\n", "networkpolicy", POLICY),
    m("networkpolicy.yaml", "  ingress: []\n", "  ingress: [{}]\n", "networkpolicy", TEST_POLICY),
    m("networkpolicy.yaml", "  egress:\n    - to:", "  egress:\n    - {}\n    - to:", "networkpolicy", TEST_POLICY),
    m("networkpolicy.yaml", "spec:\n  podSelector:\n    matchLabels:\n      {{- include \"app.selector\" . | nindent 6 }}\n", "spec:\n  podSelector: {}\n", "networkpolicy", POLICY),
    m("networkpolicy.yaml", "spec:\n  podSelector:\n    matchLabels:\n      {{- include \"app.testSelector\" . | nindent 6 }}\n", "spec:\n  podSelector: {}\n", "networkpolicy", TEST_POLICY),
    m("networkpolicy.yaml", "        - podSelector:\n            matchLabels:\n              {{- include \"app.testSelector\" $ | nindent 14 }}\n", "        - podSelector: {}\n", "networkpolicy", "narrows HTTP to namespaces, and to the test pod"),
    m("networkpolicy.yaml", "        - podSelector:\n            matchLabels:\n              {{- include \"app.selector\"", "        - podSelector:\n            matchLabels: {}\n            #  {{- include \"app.selector\"", "networkpolicy", TEST_POLICY),
    m("networkpolicy.yaml", "        {{- range . }}\n        - namespaceSelector:\n            matchLabels:\n              kubernetes.io/metadata.name: {{ . }}\n        {{- end }}\n      {{- end }}\n    {{- with", "        {{- range . }}\n        - namespaceSelector: {} # {{ . }}\n        {{- end }}\n      {{- end }}\n    {{- with", "networkpolicy", "narrows HTTP to namespaces, and to the test pod"),
    m("networkpolicy.yaml", "      from:\n        {{- range . }}\n        - namespaceSelector:\n            matchLabels:\n              kubernetes.io/metadata.name: {{ . }}\n        {{- end }}\n    {{- end }}\n  egress", "    {{- end }}\n  egress", "networkpolicy", POLICY),
    m("service.yaml", "type: ClusterIP", "type: LoadBalancer", "service", "sends requests to the server's pods, not to the test pod"),
    m("service.yaml", "    {{- include \"app.selector\" . | nindent 4 }}\n  ports", "    app.kubernetes.io/instance: {{ .Release.Name }}\n  ports", "service", "sends requests to the server's pods, not to the test pod"),
    m("httproute.yaml", "      sectionName: {{ . }}\n", "", "expose", "sends prod through the cluster's Gateway, by its encrypted listener"),
    m("httproute.yaml", "port: {{ .Values.service.port }}", "port: 9090", "expose", "goes through a Gateway"),
    m("httproute.yaml", "fail \"expose.gateway.name", "print \"# expose.gateway.name", "expose", "refuses hosts that no Gateway serves"),
    m("ingress.yaml", "fail \"expose.hosts", "print \"# expose.hosts", "expose", "refuses an ingress that would take every name"),
    m("ingress.yaml", "fail \"expose.ingress.tlsSecretName", "print \"# expose.ingress.tlsSecretName", "expose", "refuses a certificate that has no place"),
    m("ingress.yaml", "fail \"expose.ingress.allowFromAnnotation", "print \"# expose.ingress.allowFromAnnotation", "expose", "refuses an allow-list that no controller would read"),
    m("ingress.yaml", "if and .allowFrom (not .allowFromAnnotation)", "if false", "expose", "refuses an allow-list that no controller would read"),
    m("ingress.yaml", "    cert-manager.io/cluster-issuer: {{ . }}\n", "    a: b\n", "expose", "asks cert-manager for a certificate"),
    m("ingress.yaml", "    - secretName: {{ . }}\n", "    - secretName: other\n", "expose", "asks cert-manager for a certificate"),
    m("ingress.yaml", "if or .clusterIssuer .allowFrom .annotations", "if .clusterIssuer", "expose", "lets in listed addresses only, when that is all that is asked of the controller"),
    m("ingress.yaml", "    {{- if .allowFrom }}\n", "    {{- if false }}\n", "expose", "lets in listed addresses only, in the words of whichever controller there is"),
    m("ingress.yaml", "join \",\" .allowFrom", "first .allowFrom", "expose", "lets in listed addresses only, in the words of whichever controller there is"),
    // Secrets.
    m("secret.yaml", "fail \"secret.source is none", "print \"# secret.source is none", "secret", "are not named without a source"),
    m("secret.yaml", "fail \"secret.source is set", "print \"# secret.source is set", "secret", "are not asked for without a name"),
    m("secret.yaml", "required \"secret.sysEnv.value is missing\" .value", ".value", "secret", "need a value for SYS_ENV when plain"),
    m("secret.yaml", "required (printf \"secret.files.%s.value is missing\" $file) $content.value", "$content.value", "secret", "need a value when plain"),
    m("externalsecret.yaml", "kind: SecretStore", "kind: ClusterSecretStore", "secret", STORE),
    m("externalsecret.yaml", "required \"secret.external.store is missing: the name of a SecretStore in the release's namespace\" .external.store", ".external.store", "secret", "need a store"),
    m("externalsecret.yaml", "refreshPolicy: Periodic", "refreshPolicy: CreatedOnce", "secret", STORE),
    m("externalsecret.yaml", "refreshInterval: {{ .external.refreshInterval }}", "refreshInterval: 24h", "secret", STORE),
    m("externalsecret.yaml", "creationPolicy: Owner", "creationPolicy: Orphan", "secret", STORE),
    m("externalsecret.yaml", "deletionPolicy: Retain", "deletionPolicy: Delete", "secret", STORE),
    m("externalsecret.yaml", "          {{- include \"app.labels\" $ | nindent 10 }}", "          a: b", "secret", STORE),
    m("_helpers.tpl", "required (printf \"%s.key is missing: where the store has it\" .at) .ref.key", ".ref.key", "secret", "need to be somewhere in the store"),
    m("deployment.yaml", "              readOnly: true\n", "", "secret", FILES),
    m("deployment.yaml", "defaultMode: 0440", "defaultMode: 0444", "secret", FILES),
    m("deployment.yaml", "secretName: {{ include \"app.secretName\" . }}", "secretName: other", "secret", FILES),
    m("deployment.yaml", "            items:\n              {{- range $file, $_ := .Values.secret.files }}\n              - key: {{ $file }}\n                path: {{ $file }}\n              {{- end }}\n", "", "secret", FILES),
    m("deployment.yaml", "                secretKeyRef:\n                  name: {{ include \"app.secretName\" . }}\n", "                secretKeyRef:\n                  name: other\n", "secret", "give the service SYS_ENV by its environment, and tell the scanner why"),
    // Capacity: what a fault, a rollout or a drain may take.
    m("deployment.yaml", "maxUnavailable: 0", "maxUnavailable: 1", "deployment", "never takes a pod away before its successor is ready"),
    m("deployment.yaml", "{{- toYaml .Values.resources | nindent 12 }}", "{}", "deployment", "takes the resources from the values"),
    m("tests/healthz.yaml", "          cpu: 100m\n", "", "test_pod", "is bounded in what it takes and in how long"),
    m("tests/healthz.yaml", "          memory: 32Mi\n", "", "test_pod", "is bounded in what it takes and in how long"),
    m("tests/healthz.yaml", "          cpu: 10m\n", "", "test_pod", "is bounded in what it takes and in how long"),
    m("tests/healthz.yaml", "          memory: 16Mi\n", "", "test_pod", "is bounded in what it takes and in how long"),
    m("deployment.yaml", "{{ add .Values.drain.settleSeconds .Values.drain.deadlineSeconds 5 }}", "30", "deployment", "gives the drain its time before the pod is killed"),
    m("deployment.yaml", "whenUnsatisfiable: {{ .Values.spread.zones }}", "whenUnsatisfiable: ScheduleAnyway", "deployment", SPREAD),
    m("deployment.yaml", "whenUnsatisfiable: {{ .Values.spread.nodes }}", "whenUnsatisfiable: DoNotSchedule", "deployment", SPREAD),
    m("deployment.yaml", "          # Only pods of the same revision are counted, or the old ones would push the new ones together.\n          matchLabelKeys: [\"pod-template-hash\"]\n", "", "deployment", SPREAD),
    m("deployment.yaml", "      {{- with .Values.tolerations }}\n      tolerations:", "      {{- with list (dict \"operator\" \"Exists\") }}\n      tolerations:", "deployment", "runs on no tainted node in dev"),
    m("tests/healthz.yaml", "  tolerations:\n    {{- toYaml . | nindent 4 }}\n", "", "test_pod", "may run where the server may"),
    m("deployment.yaml", "if not .Values.autoscaling.enabled", "if true", "deployment", "leaves the number of pods to the autoscaler when there is one"),
    m("hpa.yaml", "fail \"autoscaling.minReplicas", "print \"# autoscaling.minReplicas", "hpa", "refuses bounds that cross"),
    m("pdb.yaml", "maxUnavailable: {{ $budget }}", "minAvailable: 0", "pdb", BUDGET),
    m("pdb.yaml", "  unhealthyPodEvictionPolicy: AlwaysAllow\n", "", "pdb", BUDGET),
    m("pdb.yaml", "$budget := .Values.disruptionBudget.maxUnavailable", "$budget := \"100%\"", "pdb", BUDGET),
    m("pdb.yaml", "fail (printf", "print (printf", "pdb", "refuses a budget as large as the number of pods"),
    m("pdb.yaml", "include \"app.mostPods\" . | int) 1", "include \"app.mostPods\" . | int) 0", "pdb", "is absent for a single pod, where it would block the drain or promise nothing"),
    m("_helpers.tpl", "{{ if .Values.autoscaling.enabled }}{{ .Values.autoscaling.minReplicas }}{{ else }}{{ .Values.replicas }}{{ end }}", "{{ .Values.replicas }}", "pdb", "refuses a budget as large as the fewest pods of the autoscaler"),
    m("_helpers.tpl", "{{ if .Values.autoscaling.enabled }}{{ .Values.autoscaling.maxReplicas }}{{ else }}{{ .Values.replicas }}{{ end }}", "{{ .Values.replicas }}", "pdb", "is there when the autoscaler may make a second pod, whatever replicas says"),
    m("deployment.yaml", "            {{- include \"app.probe\" .Values.probes.readiness | nindent 12 }}", "            {{- include \"app.probe\" .Values.probes.liveness | nindent 12 }}", "deployment", "asks liveness and readiness different questions"),
    m("deployment.yaml", "          startupProbe:\n            {{- include \"app.probe\" .Values.probes.startup | nindent 12 }}\n", "", "deployment", "asks liveness and readiness different questions"),
    m("servicemonitor.yaml", "  namespaceSelector:\n    matchNames: [{{ .Release.Namespace }}]\n", "  namespaceSelector:\n    any: true\n", "monitoring", "finds the pods through their Service's metrics port"),
    // What values may say.
    m(SCHEMA, "            \"const\": \"\",\n", "", "values", "refuses a tag in prod, even beside a digest"),
    m(SCHEMA, "              \"none\",\n              \"external\"\n", "              \"none\",\n              \"plain\",\n              \"external\"\n", "secret", "are never plain in prod"),
    m(SCHEMA, "            \"const\": \"latest\"\n", "            \"const\": \"newest\"\n", "values", "refuses the tag latest, which means nothing"),
    m(SCHEMA, "^(sha256:[0-9a-f]{64})?$", "^(sha256:[0-9a-f]*)?$", "values", "refuses a digest that is not one"),
    m(SCHEMA, "        \"dev\",\n        \"prod\"\n", "        \"dev\",\n        \"beta\",\n        \"prod\"\n", "values", "refuses an environment that nobody has defined"),
    m(SCHEMA, "            \"^SYS_ENV$\": false,\n", "", "secret", "have one place for SYS_ENV"),
    m(SCHEMA, "^[A-Za-z0-9_-][-A-Za-z0-9._]{0,252}$", "^.*$", "secret", "cannot leave their folder"),
    m(SCHEMA, "^[0-9a-fA-F.:]+/[0-9]{1,3}$", "^.*$", "expose", "refuses an allow-list that is not one"),
];

#[rustfmt::skip]
pub(crate) const RULES: &[RuleMutation] = &[
    r("slo.yaml", "release:http_request_errors:ratio_rate1h{namespace=\"@namespace@\",release=\"@name@\"} > 14.4", "release:http_request_errors:ratio_rate1h{namespace=\"@namespace@\",release=\"@name@\"} > 144", "slo.yaml"),
    r("slo.yaml", "> 14.4 * 0.001\n          and release:http_request_errors:ratio_rate5m{namespace=\"@namespace@\",release=\"@name@\"} > 14.4 * 0.001\n", "> 1.4 * 0.001\n", "slo.yaml"),
    r("slo.yaml", "          and release:http_request_errors:ratio_rate5m{namespace=\"@namespace@\",release=\"@name@\"} > 14.4 * 0.001\n", "", "slo.yaml"),
    r("slo.yaml", "          and release:http_requests:rate1h{namespace=\"@namespace@\",release=\"@name@\"} > @floor@\n", "", "slo.yaml"),
    r("slo.yaml", "ratio_rate6h{namespace=\"@namespace@\",release=\"@name@\"} > 6 * 0.001\n          and release:http_request_errors:ratio_rate30m{namespace=\"@namespace@\",release=\"@name@\"} > 6", "ratio_rate6h{namespace=\"@namespace@\",release=\"@name@\"} > 1 * 0.001\n          and release:http_request_errors:ratio_rate30m{namespace=\"@namespace@\",release=\"@name@\"} > 1", "slo.yaml"),
    r("slo.yaml", "ratio_rate3d{namespace=\"@namespace@\",release=\"@name@\"} > 1 * 0.001", "ratio_rate3d{namespace=\"@namespace@\",release=\"@name@\"} > 4 * 0.001", "slo-days.yaml"),
    r("slo.yaml", ",route!~\"/livez|/readyz\"", "", "slo.yaml"),
    r("slo.yaml", ",pod=~\"@pods@\"", "", "slo.yaml"),
    r("slo.yaml", "status=~\"5..\"", "status=~\"4..\"", "slo.yaml"),
    r("requests.yaml", "route!~\"/livez|/readyz\"}[5m]))\n        labels: &labels", "route!~\"/none\"}[5m]))\n        labels: &labels", "requests.yaml"),
    r("workload.yaml", "pod=~\"@pods@\"})\n        for: 10m", "pod=~\".*\"})\n        for: 10m", "workload.yaml"),
    r("workload.yaml", ",reason=\"CrashLoopBackOff\"}[5m]", "}[5m]", "workload.yaml"),
    r("workload.yaml", "}[5m]) >= 1\n        for: 10m", "}[5m]) >= 1\n        for: 1m", "workload.yaml"),
    r("workload.yaml", "          and changes(kube_deployment_status_replicas_updated{namespace=\"@namespace@\",deployment=\"@name@\"}[10m]) == 0\n", "", "workload.yaml"),
    r("workload.yaml", "> kube_deployment_status_replicas_available", "!= kube_deployment_status_replicas_available", "workload.yaml"),
    r("workload.yaml", "(app_environment_mismatch{namespace=\"@namespace@\",pod=~\"@pods@\"}) > 0", "(app_environment_mismatch{namespace=\"@namespace@\",pod=~\"@pods@\"}) >= 0", "workload.yaml"),
    r("autoscaler.yaml", ">= kube_horizontalpodautoscaler_spec_max_replicas", "<= kube_horizontalpodautoscaler_spec_max_replicas", "autoscaler.yaml"),
    r("secrets.yaml", "> @secretMaxAgeSeconds@", "> 10 * @secretMaxAgeSeconds@", "secrets.yaml"),
    r("secrets.yaml", "[15m])) > 0\n        for: 15m", "[15m])) > 0\n        for: 0m", "secrets.yaml"),
    r("external-secret.yaml", ",status=\"False\"}\n            or", "}\n            or", "external-secret.yaml"),
    r("external-secret.yaml", "exported_namespace=\"@namespace@\"", "exported_namespace=\"other\"", "external-secret.yaml"),
    r("certificate.yaml", "< 14 * 86400", "< 1 * 86400", "certificate.yaml"),
    r("certificate.yaml", "exported_namespace=\"@certificateNamespace@\"", "exported_namespace=\"other\"", "certificate.yaml"),
];
