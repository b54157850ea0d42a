{{/* Labels of an object of a role: include "plumb.labels" (list $ "webhook"); of all roles: (list $ ""). */}}
{{- define "plumb.labels" -}}
{{- $root := index . 0 -}}
labels:
  {{- include "plumb.selector" . | nindent 2 }}
  app.kubernetes.io/instance: {{ $root.Release.Name }}
  app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
{{- end }}

{{/* Labels that pods are found by. They never change; there is one plumb in a cluster. */}}
{{- define "plumb.selector" -}}
app.kubernetes.io/name: plumb
{{- with index . 1 }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "plumb.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{/* Options of a role, as `plumb run --config` reads them: its own before what is for all. */}}
{{- define "plumb.config" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- $config := dict -}}
{{- if eq $role "webhook" -}}
{{- $_ := set $config "webhook-owner" "plumb-webhook" -}}
{{- end -}}
{{- if and $root.Values.dashboard.enabled (eq $role "recommender") -}}
{{- $_ := set $config "dashboard" "127.0.0.1:9798" -}}
{{- end -}}
{{- range $options := list $root.Values.config (index $root.Values $role).config -}}
{{- range $name, $value := $options -}}
{{- $_ := set $config $name $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end }}

{{/* What all roles may know of owners of custom kinds. */}}
{{- define "plumb.owners" -}}
# Owners of kinds that are not built in: the labels that policies select by, their own owners, and what they are a run
# of. plumb asks for metadata only. That a kind scales is found without a right; for other kinds see docs/owners.md.
- apiGroups:
  - argoproj.io
  - jobset.x-k8s.io
  - keda.sh
  - leaderworkerset.x-k8s.io
  - postgresql.cnpg.io
  - serving.knative.dev
  - sparkoperator.k8s.io
  - tekton.dev
  resources:
  - rollouts
  - analysisruns
  - experiments
  - workflows
  - cronworkflows
  - jobsets
  - scaledjobs
  - leaderworkersets
  - clusters
  - services
  - configurations
  - revisions
  - sparkapplications
  - scheduledsparkapplications
  - pipelineruns
  - taskruns
  verbs: [get]
{{- end }}
