#!/usr/bin/env python3
"""Generates the golden file of the conformance cases with real Helm 4.

    make.py functions HELM FILE...   writes functions.txt: those of the words quoted in FILE... (Go sources of Helm,
                                     Sprig and text/template) that Helm accepts as functions
    make.py goldens HELM             writes goldens.jsonl: Helm's results for cases.txt
    make.py new HELM                 adds the cases that goldens.jsonl lacks; do not use it after a change of `chart`

HELM is the Helm command, built by `go install helm.sh/helm/v4/cmd/helm@VERSION` with the version in goldens.jsonl; the
script reads it with `go version`. Each case is rendered alone, and twice: a value that differs is left out. Helm gets a
case as the file `_case.tpl`, which `out.yaml` includes three times: as text, through toJson, and through
`printf "%T"`. If Helm rejects the case, it gets it again as the file `case.yaml`, whose error is the golden result.
"""
import base64
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
OPTIONS = ['--namespace', 'space', '--kube-version', 'v1.33.4',
           '--api-versions', 'example.com/v1', '--api-versions', 'example.com/v1/Thing']
OUT = ''.join('%s: "{{ include "conf/templates/_%s.tpl" . | b64enc }}"\n' % (part, part)
              for part in ('case', 'json', 'type'))


def read_cases():
    """The cases of cases.txt as (id, source), with all sets expanded."""
    with open(os.path.join(HERE, 'functions.txt')) as file:
        sets = {'FN': file.read().split()}
    section, number, seen = '', 0, set()
    with open(os.path.join(HERE, 'cases.txt'), encoding='utf-8') as file:
        lines = file.read().split('\n')
    for line in lines:
        if line.startswith('== '):
            section, number = line[3:], 0
        elif match := re.match(r'@([A-Z0-9]+) (.*)', line):
            sets[match[1]] = match[2].split(' ;; ')
        elif line and not re.match(r'#(?!\{)', line):
            for source in expand(line, sets):
                number += 1
                source = source.replace('↵', '\n')
                if source not in seen:
                    seen.add(source)
                    yield f'{section}-{number}', source


def expand(line, sets):
    match = re.search('<([A-Z][A-Z0-9]*)>', line)
    while match and match[1] not in sets:
        match = re.compile('<([A-Z][A-Z0-9]*)>').search(line, match.end())
    if not match:
        return [line]
    return [case for choice in sets[match[1]] for case in expand(line.replace(match[0], choice), sets)]


class Helm:
    """Runs Helm on the scratch chart of one worker."""

    def __init__(self, command, folder):
        self.command = command
        self.chart = os.path.join(folder, 'conf')
        shutil.copytree(os.path.join(HERE, 'chart'), self.chart)
        homes = {f'HELM_{kind}_HOME': os.path.join(folder, kind) for kind in ('CACHE', 'CONFIG', 'DATA')}
        self.environment = {'PATH': os.environ['PATH'], 'HOME': folder, 'TZ': 'UTC', 'GOMAXPROCS': '1', **homes}

    def render(self, files):
        for name, text in files.items():
            with open(os.path.join(self.chart, 'templates', name), 'w', encoding='utf-8') as file:
                file.write(text)
        try:
            done = subprocess.run([self.command, 'template', 'rel', self.chart, *OPTIONS], env=self.environment,
                                  capture_output=True, timeout=120)
        finally:
            for name in files:
                os.remove(os.path.join(self.chart, 'templates', name))
        if not done.returncode:
            return done.stdout.decode(), None
        error = done.stderr.decode().removeprefix('Error: ').rstrip('\n')
        return '', error.removesuffix('\n\nUse --debug flag to render out invalid YAML')

    def twice(self, source):
        first = self.golden(source)
        return first, first if 'error' in first else self.golden(source)

    def golden(self, source):
        whole = source if '{{' in source else '{{ %s }}' % source
        parts = {'_case.tpl': whole, '_json.tpl': '', '_type.tpl': '', 'out.yaml': OUT}
        if whole is not source:
            full = dict(parts, **{'_json.tpl': '{{ toJson (%s) }}' % source, '_type.tpl': '{{ printf "%%T" (%s) }}' % source})
            out, error = self.render(full)
            if error is None:
                return self.values(out)
        out, error = self.render(parts)
        if error is None:
            return self.values(out)
        _, alone = self.render({'case.yaml': whole})
        if alone is None or alone.startswith('YAML parse error'):
            return {'error': error, 'included': True}
        return {'error': alone}

    @staticmethod
    def values(out):
        golden = {}
        for part, name in (('case', 'text'), ('json', 'json'), ('type', 'type')):
            value = base64.b64decode(re.search(f'^{part}: "(.*)"$', out, re.M)[1])
            try:
                golden[name] = value.decode()
            except UnicodeDecodeError:
                golden[name + '_base64'] = base64.b64encode(value).decode()
        if golden['type'] == 'string':
            del golden['json']  # it would repeat the text
        return {name: value for name, value in golden.items() if value or name == 'text'}


def each(command, work, items):
    """Yields `work(helm, item)` for all items, in order, from two workers."""
    workers = 2
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(workers) as pool:
        idle = [Helm(command, os.path.join(folder, str(number))) for number in range(workers)]

        def one(item):
            helm = idle.pop()
            try:
                return work(helm, item)
            finally:
                idle.append(helm)
        yield from pool.map(one, items)


def goldens(command, existing):
    about = subprocess.run(['go', 'version', '-m', command], capture_output=True, text=True, check=True).stdout
    version = re.search(r'helm\.sh/helm/v4\t(\S+)', about)[1]
    cases = list(read_cases())
    twice = each(command, lambda helm, case: existing.get(case[1]) or helm.twice(case[1]), cases)
    kept, unstable = [], []
    for (name, source), (first, second) in zip(cases, twice):
        if first == second and time.strftime('%Y-%m-%d') not in first.get('text', ''):
            kept.append({'id': name, 'source': source, **first})
        elif name.startswith('arity-'):
            continue
        else:
            unstable.append(f'{name}: {source}')
    with open(os.path.join(HERE, 'goldens.jsonl'), 'w', encoding='utf-8') as file:
        head = {'helm': version, 'go': about.split()[1], 'options': OPTIONS, 'release': 'rel', 'cases': len(kept)}
        for record in [head, *kept]:
            file.write(json.dumps(record, ensure_ascii=False) + '\n')
    print(len(kept), 'goldens,', sum('error' in golden for golden in kept), 'of them errors')
    if unstable:
        sys.exit('left out because they differ from run to run:\n' + '\n'.join(unstable))


def existing_goldens():
    """The results in goldens.jsonl, by source."""
    with open(os.path.join(HERE, 'goldens.jsonl'), encoding='utf-8') as file:
        records = [json.loads(line) for line in file][1:]
    results = {record.pop('source'): record for record in records if record.pop('id')}
    return {source: (result, result) for source, result in results.items()}


def functions(command, files):
    words = set()
    for path in files:
        with open(path, encoding='utf-8', errors='replace') as file:
            words.update(re.findall(r'"([A-Za-z_][A-Za-z0-9_]*)"', file.read()))
    words = sorted(words)

    def accepts(helm, word):
        _, error = helm.render({'_word.tpl': '{{ if false }}{{ 0 | %s }}{{ end }}' % word})
        return error is None
    names = [word for word, accepted in zip(words, each(command, accepts, words)) if accepted]
    with open(os.path.join(HERE, 'functions.txt'), 'w') as file:
        file.write(''.join(name + '\n' for name in names))
    print(len(names), 'of', len(words), 'words')


if __name__ == '__main__':
    if len(sys.argv) < 3 or sys.argv[1] not in ('functions', 'goldens', 'new'):
        sys.exit(__doc__)
    helm_command = shutil.which(sys.argv[2]) or sys.exit(f'no such command: {sys.argv[2]}')
    if sys.argv[1] == 'functions':
        functions(os.path.abspath(helm_command), sys.argv[3:])
    else:
        goldens(os.path.abspath(helm_command), existing_goldens() if sys.argv[1] == 'new' else {})
