{{- /* Pods are called <this>-<10 letters>-<5 letters>, by which rules and dashboards know them; Kubernetes cuts that name at 63. */ -}}
{{- define "app.fullname" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) }}
{{- if gt (len $name) 46 }}
{{- fail (printf "%s is longer than 46 letters: take a shorter name for the release" $name) }}
{{- end }}
{{- $name }}
{{- end }}

{{- define "app.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- /* The test pod is another component, or the Service would send requests to it. */ -}}
{{- define "app.testSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end }}

{{- define "app.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
environment: {{ .Values.environment }}
{{- end }}

{{- define "app.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else if eq $.Values.environment "prod" -}}
{{- fail "image.digest is missing: prod accepts images by digest only. Pass --set image.digest=sha256:… of the image that dev has proved." }}
{{- else -}}
{{ .repository }}:{{ required "image.tag or image.digest is missing" .tag }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The most pods that there can be, and the fewest that there should be. */ -}}
{{- define "app.mostPods" -}}
{{ if .Values.autoscaling.enabled }}{{ .Values.autoscaling.maxReplicas }}{{ else }}{{ .Values.replicas }}{{ end }}
{{- end }}

{{- define "app.fewestPods" -}}
{{ if .Values.autoscaling.enabled }}{{ .Values.autoscaling.minReplicas }}{{ else }}{{ .Values.replicas }}{{ end }}
{{- end }}

{{- /* Scanner exceptions of every workload that is deployed by tag; prod never is. Each ends on its date. */ -}}
{{- define "app.tagExceptions" -}}
{{- if not .Values.image.digest }}
checkov.io/skip1: CKV_K8S_43=deployed by tag on a laptop or by hand to dev; pipelines pass the digest, prod demands it; expires 2027-05-31
checkov.io/skip2: CKV_K8S_15=an image that was loaded into a local cluster is in no registry to ask; expires 2027-05-31
{{- end }}
{{- end }}

{{- define "app.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "app.containerSecurityContext" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
{{- end }}

{{- /* What the service is told through its environment; the ConfigMap's name is made from it. */ -}}
{{- define "app.config" -}}
CONFIG_ENVIRONMENT: {{ .Values.environment | quote }}
DRAIN_DEADLINE_SECONDS: {{ .Values.drain.deadlineSeconds | quote }}
DRAIN_SETTLE_SECONDS: {{ .Values.drain.settleSeconds | quote }}
LOG_LEVEL: {{ .Values.logLevel | quote }}
SYS_ENV: {{ .Values.sysEnv | quote }}
{{- end }}

{{- define "app.configName" -}}
{{ include "app.fullname" . }}-{{ include "app.config" . | sha256sum | trunc 10 }}
{{- end }}

{{- /* "yes" when there is a Secret; the ways of it are in secret.yaml. */ -}}
{{- define "app.hasSecret" -}}
{{- with .Values.secret }}
{{- if ne .source "none" }}yes{{ end }}
{{- end }}
{{- end }}

{{- define "app.secretName" -}}
{{ include "app.fullname" . }}-secret
{{- end }}

{{- /* What an object is called in rules and dashboards; those files stay readable by their own tools, without escapes. */ -}}
{{- define "app.filled" -}}
{{- $pods := printf "%s-[a-z0-9]+-[a-z0-9]{5}" (include "app.fullname" .root) }}
{{- $rules := .root.Values.metrics.rules }}
{{- $filled := .text | replace "@name@" (include "app.fullname" .root) | replace "@namespace@" .root.Release.Namespace }}
{{- $filled = $filled | replace "@pods@" $pods | replace "@environment@" .root.Values.environment }}
{{- $filled = $filled | replace "@runbook@" $rules.runbook | replace "@floor@" (toString $rules.minimumRequestsPerSecond) }}
{{- $filled = $filled | replace "@secretMaxAgeSeconds@" (toString (mul $rules.secretMaxAgeDays 86400)) }}
{{- $filled = $filled | replace "@secretName@" (include "app.secretName" .root) }}
{{- $certificate := $rules.certificate.name | default .root.Values.expose.ingress.tlsSecretName }}
{{- $filled = $filled | replace "@certificate@" $certificate }}
{{- $filled | replace "@certificateNamespace@" ($rules.certificate.namespace | default .root.Release.Namespace) }}
{{- end }}

{{- define "app.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
periodSeconds: {{ .periodSeconds }}
timeoutSeconds: {{ .timeoutSeconds }}
failureThreshold: {{ .failureThreshold }}
{{- end }}

{{- define "app.remoteRef" -}}
remoteRef:
  key: {{ required (printf "%s.key is missing: where the store has it" .at) .ref.key }}
  {{- with .ref.property }}
  property: {{ . }}
  {{- end }}
{{- end }}
