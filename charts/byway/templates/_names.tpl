{{/* Names, labels and images: what every object here shares. */}}

{{- define "byway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* 40 characters leave room for what is put behind it. */}}
{{- define "byway.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "byway.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "byway.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Objects of the whole cluster: two releases may have one name in two namespaces. */}}
{{- define "byway.clustername" -}}
{{- printf "%s-%s" .Release.Namespace (include "byway.fullname" .) | trunc 60 | trimSuffix "-" }}
{{- end }}

{{/* (dict "root" $ "room" "proxy") */}}
{{- define "byway.selector" -}}
app.kubernetes.io/name: {{ include "byway.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .room }}
{{- end }}

{{/* The same; without "room" for what belongs to no process. */}}
{{- define "byway.labels" -}}
{{- if .room }}
{{- include "byway.selector" . }}
{{- else -}}
app.kubernetes.io/name: {{ include "byway.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "byway.image" -}}
{{- $image := (index .root.Values .room).image }}
{{- $registry := coalesce .root.Values.global.imageRegistry .root.Values.image.registry }}
{{- with $registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}
{{- else }}:{{ coalesce $image.tag .root.Values.image.tag .root.Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "byway.serviceaccount" -}}
{{- $given := (index .root.Values .room).serviceAccount }}
{{- if $given.create }}
{{- default (printf "%s-%s" (include "byway.fullname" .root) .room) $given.name }}
{{- else }}
{{- required (printf "%s.serviceAccount.name: say which, as %s.serviceAccount.create is false" .room .room) $given.name }}
{{- end }}
{{- end }}

{{/* The Secret with the certificate of a server: tls.crt, tls.key, and in ca.crt who signed it. */}}
{{- define "byway.certificate" -}}
{{- default (printf "%s-%s-tls" (include "byway.fullname" .root) .room) (index .root.Values .room).tls.existingSecret }}
{{- end }}

{{/* The name that a certificate is checked for, whichever address was dialled. */}}
{{- define "byway.host" -}}
{{- printf "%s-%s.%s.svc" (include "byway.fullname" .root) .room .root.Release.Namespace }}
{{- end }}

{{/* host:port to listen on or be reached at, with the brackets that IPv6 wants. */}}
{{- define "byway.bind" -}}
{{- if contains ":" .root.Values.bindAddress }}[{{ .root.Values.bindAddress }}]{{ else }}{{ .root.Values.bindAddress }}{{ end }}:{{ .port }}
{{- end }}

{{/* Whether the books are in PostgreSQL: "yes" or nothing. */}}
{{- define "byway.postgresql" -}}
{{- $ledger := .Values.ledger }}
{{- if $ledger.postgresql.url }}
{{- if $ledger.persistence.existingClaim }}
{{- fail "ledger.persistence.existingClaim: with ledger.postgresql.url the books are in PostgreSQL, and no volume is used; leave out one of the two" }}
{{- end -}}
yes
{{- else if gt (int $ledger.replicas) 1 }}
{{- fail (printf "ledger.replicas: %d is too many, because the books are one file on one volume; say ledger.postgresql.url, or 1" (int $ledger.replicas)) }}
{{- else if or $ledger.postgresql.existingSecret $ledger.postgresql.caSecret }}
{{- fail "ledger.postgresql.url: say where PostgreSQL is, as in postgresql://byway@host/byway; a Secret of it alone does nothing" }}
{{- end }}
{{- end }}

{{/* That of the URL's first host; what stands behind a Service may listen elsewhere, and is named in networkPolicy. */}}
{{- define "byway.postgresql.port" -}}
{{- regexFind "@[^/?]*" .Values.ledger.postgresql.url | regexFind ":[0-9]+(,|$)" | trimPrefix ":" | trimSuffix "," | default "5432" }}
{{- end }}
