{{- define "django-app.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "django-app.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- /* All pods of the release, whatever they do. */}}
{{- define "django-app.releaseLabels" -}}
app.kubernetes.io/name: {{ include "django-app.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* The pods that serve. Never changed: a Deployment's selector cannot be. */}}
{{- define "django-app.selectorLabels" -}}
{{ include "django-app.releaseLabels" . }}
app.kubernetes.io/component: web
{{- end }}

{{- define "django-app.labels" -}}
{{ include "django-app.releaseLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "django-app.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "django-app.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "django-app.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* What the service, its migration and its test are told. The rest is in the Secret. The project's own beat the chart's. */}}
{{- define "django-app.env" -}}
{{- $django := .Values.django }}
{{- $env := dict
  "DJANGO_SETTINGS_MODULE" (ternary "espalier_settings" $django.settingsModule $django.settingsOverlay)
  "ESPALIER_SETTINGS_MODULE" $django.settingsModule
  "ESPALIER_SETTINGS" (toJson $django.settings)
  "ESPALIER_APPLICATION" $django.wsgi
  "ESPALIER_HEALTH_PATH" $django.healthPath
  "ESPALIER_READY_PATH" $django.readyPath
  "ESPALIER_METRICS_PATH" (ternary .Values.metrics.path "" .Values.metrics.enabled)
  "ESPALIER_METRICS_PORT" (ternary (toString .Values.metrics.port) "" .Values.metrics.enabled)
  "ESPALIER_SERVE_STATIC" "true"
  "DJANGO_ALLOWED_HOSTS" (join "," $django.allowedHosts)
  "DJANGO_CSRF_TRUSTED_ORIGINS" (join "," $django.csrfTrustedOrigins)
  "DJANGO_HTTPS" (toString $django.https)
  "DJANGO_STATIC_URL" $django.staticUrl
  "DJANGO_DATA_DIR" "/data"
}}
{{- with .Values.database }}
{{- if .host }}
{{- $env = merge $env (dict "RDS_HOSTNAME" .host "RDS_PORT" (toString .port) "RDS_DB_NAME" .name
  "RDS_SSLMODE" (default (ternary "verify-full" "require" (not (empty .caConfigMap))) .sslmode)) }}
{{- with .caConfigMap }}
{{- $env = merge $env (dict "PGSSLROOTCERT" "/etc/database-ca/ca.pem") }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $value := merge (deepCopy .Values.env) $env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- /* Without a host there is no database to believe or not. */}}
{{- define "django-app.caConfigMap" -}}
{{- if .Values.database.host }}{{ .Values.database.caConfigMap }}{{ end }}
{{- end }}

{{- /* One container of the image, as far as all are alike. */}}
{{- define "django-app.container" -}}
image: {{ include "django-app.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
env:
  {{- include "django-app.env" . | trim | nindent 2 }}
envFrom:
  - secretRef:
      name: {{ .Values.secret.name }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  - name: data
    mountPath: /data
  {{- if include "django-app.caConfigMap" . }}
  - name: database-ca
    mountPath: /etc/database-ca
    readOnly: true
  {{- end }}
{{- end }}

{{- /* Where something can be written: the root file system is read-only. */}}
{{- define "django-app.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 256Mi
- name: data
  emptyDir:
    sizeLimit: 1Gi
{{- with include "django-app.caConfigMap" . }}
- name: database-ca
  configMap:
    name: {{ . }}
{{- end }}
{{- end }}

{{- define "django-app.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
