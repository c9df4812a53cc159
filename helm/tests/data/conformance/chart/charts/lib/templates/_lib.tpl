{{- define "lib.greet" -}}Hello {{ . | default "nobody" }}{{- end -}}
