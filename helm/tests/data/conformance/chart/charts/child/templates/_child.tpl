{{- define "child.name" -}}{{ .Chart.Name }}/{{ .Values.port }}{{- end -}}
{{- define "plain" -}}the child's, which the parent replaces{{- end -}}
