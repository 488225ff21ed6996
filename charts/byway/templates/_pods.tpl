{{/* What the pods of all three processes share. Each takes (dict "root" $ "room" "proxy"). */}}

{{- define "byway.pod.metadata" -}}
labels:
  {{- include "byway.labels" . | nindent 2 }}
  {{- with (index .root.Values .room).podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with (index .root.Values .room).podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "byway.pod.spec" -}}
{{- $given := index .root.Values .room }}
serviceAccountName: {{ include "byway.serviceaccount" . }}
automountServiceAccountToken: {{ eq .room "operator" }}
# Else the kubelet sets BYWAY_…_PORT for each Service here, and a variable of ours that nobody reads stops a process.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with concat .root.Values.global.imagePullSecrets .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $given.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $given.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $given.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $given.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* For Deployments: over zones and nodes, as far as it goes; pods of another revision do not count. */}}
{{- define "byway.pod.spread" -}}
topologySpreadConstraints:
{{- with (index .root.Values .room).topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
{{- else }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "byway.selector" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "byway.container" -}}
{{- $given := index .root.Values .room }}
name: {{ .room }}
image: {{ include "byway.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
{{- with $given.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- with $given.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
