{{- define "guardrails.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* What is done about an object that a policy does not accept. Deny and Warn exclude each other. */ -}}
{{- define "guardrails.actions" -}}
{{ ternary (list "Deny" "Audit") (list "Warn" "Audit") (eq . "enforce") | toJson }}
{{- end }}

{{- /* Everything that describes pods, and pods themselves. */ -}}
{{- define "guardrails.workloads" -}}
- apiGroups: [""]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [pods, pods/ephemeralcontainers, replicationcontrollers]
- apiGroups: [apps]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [deployments, statefulsets, daemonsets, replicasets]
- apiGroups: [batch]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [jobs, cronjobs]
{{- end }}

{{- /* A pod's description, wherever it is; and all of its containers. */ -}}
{{- define "guardrails.podVariables" -}}
- name: pod
  expression: >-
    object.kind == 'Pod' ? dyn(object.spec) :
    object.kind == 'CronJob' ? dyn(object.spec.jobTemplate.spec.template.spec) : dyn(object.spec.template.spec)
- name: containers
  expression: >-
    dyn(variables.pod.containers) + dyn(variables.pod.?initContainers.orValue([])) +
    dyn(variables.pod.?ephemeralContainers.orValue([]))
{{- end }}

{{- /* Whether an update describes other pods than before. */ -}}
{{- define "guardrails.otherPods" -}}
(object.kind == 'Pod' ? dyn(object.spec) != dyn(oldObject.spec) :
object.kind == 'CronJob' ? dyn(object.spec.jobTemplate.spec.template) != dyn(oldObject.spec.jobTemplate.spec.template) :
dyn(object.spec.template) != dyn(oldObject.spec.template))
{{- end }}

{{- /* Objects on their way out, and changes that leave the description as it was, are let through: controllers must be able to finish
       their work on what was there before a policy was. */ -}}
{{- define "guardrails.podChanges" -}}
- name: not-being-deleted
  expression: "!has(object.metadata.deletionTimestamp)"
- name: describes-other-pods-than-before
  expression: >-
    request.operation == 'CREATE' ||
    {{- include "guardrails.otherPods" . | nindent 4 }}
{{- end }}
