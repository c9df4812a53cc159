"""Records the output of real Helm for templates: record.py ORACLE_DIRECTORY <golden.txt >golden.json

A case is one line, a template; `\\n` in it is a line feed. ORACLE_DIRECTORY holds oracle.py, which drives Helm 4.
"""
import base64
import json
import os
import sys
import tempfile

import yaml

sys.path.insert(0, sys.argv[1])
import oracle  # noqa: E402

VALUES = {
    'a': {'b': 'x', 'c': {'d': 'why'}}, 'num': 3, 'f': 1234567.5, 'big': 123456789, 'l': ['p', 'q', None], 'ints': [1, 2, 3],
    'maps': [{'k': 1}, {'k': 2}], 'null': None, 't': True, 'no': False, 's': 'text', 'empty': '', 'none': {}, 'nil': [],
    'tpl': '{{ .Values.s }}-{{ .Values.zzz }}', 'bad': '{{ .Values.zzz.q }}', 'broken': '{{ if }}', 'u': 'h\u00e9 <&>\'"=',
}


def helm(template, values=None):
    with tempfile.TemporaryDirectory() as chart:
        os.mkdir(f'{chart}/templates')
        with open(f'{chart}/Chart.yaml', 'w') as f:
            f.write('apiVersion: v2\nname: c\nversion: 0.1.0\n')
        with open(f'{chart}/values.yaml', 'w') as f:
            yaml.safe_dump(VALUES, f)
        with open(f'{chart}/templates/_h.tpl', 'w') as f:
            f.write('{{ define "h" }}[{{ .Values.s }}]{{ end }}\n{{ define "bad" }}\n  {{ .Values.zzz.q }}{{ end }}'
                    '{{ define "loop" }}{{ include "loop" . }}{{ end }}{{ define "id" }}{{ . }}{{ end }}')
        with open(f'{chart}/templates/x.yaml', 'w') as f:
            f.write(template)
        return oracle.golden(chart)


def record(case):
    source = case.replace('\\n', '\n')
    config = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  x: {{ include "out" . | b64enc | quote }}\n'
    if 'define "' not in source:
        golden = helm('{{ define "out" }}' + source + '{{ end }}' + config)
        if not golden['error']:
            manifest = yaml.safe_load(golden['manifest'].split('\n', 2)[2])
            text = base64.b64decode(manifest['data']['x']).decode()
            return {'source': source, 'output': text}
    error = helm(source)['error']
    assert error, source
    return {'source': source, 'error': error.removeprefix('install failed: ')}


for line in sys.stdin.read().split('\n'):
    if line:
        print(json.dumps(record(line), ensure_ascii=False), flush=True)
