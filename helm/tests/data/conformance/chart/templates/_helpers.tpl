{{- define "plain" -}}plain{{- end -}}
{{- define "dot" -}}{{ . }}{{- end -}}
{{- define "kind" -}}{{ kindOf . }}{{- end -}}
{{- define "json" -}}{{ toJson . }}{{- end -}}
{{- define "name" -}}{{ .Release.Name }}-{{ .Chart.Name }}{{- end -}}
{{- define "lines" }}
first: 1
second: 2
{{ end -}}
{{- define "missing" -}}{{ .missing }}{{- end -}}
{{- define "missing.deep" -}}{{ .missing.deep }}{{- end -}}
{{- define "twice" -}}{{ include "plain" . }}{{ include "plain" . }}{{- end -}}
{{- define "kept" -}}kept{{- end -}}
{{- define "set" -}}{{- $_ := set .m "added" "yes" -}}{{- end -}}
{{- define "bad" -}}{{ .x.y.z }}{{- end -}}
{{- define "fails" -}}{{ fail "from a helper" }}{{- end -}}
{{- define "down" -}}{{ if gt (int .n) 0 }}{{ .n }},{{ include "down" (dict "n" (sub .n 1)) }}{{ end }}{{- end -}}
{{- define "yaml" -}}
a: 1
b:
  - x
  - "y"
c: {d: true}
{{- end -}}
