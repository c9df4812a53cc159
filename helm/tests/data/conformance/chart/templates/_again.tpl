{{- define "twice" -}}second {{ include "plain" . }}{{- end -}}
{{- define "kept" }}{{/* an empty definition does not replace */}}
{{ end -}}
