// Generates cases.tsv: the results of BurntSushi/toml for documents and for values given as JSON.
// Run in a directory with a go.mod that requires github.com/BurntSushi/toml v1.6.0: TZ=UTC go run generate.go > cases.tsv
//
// Columns, each as a Go string literal in ASCII:
//
//	read   <document> <JSON of the map, or "error: " and the error>
//	write  <JSON> <document, or "error: " and the error>
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

func row(kind string, columns ...string) {
	fmt.Print(kind)
	for _, column := range columns {
		fmt.Print("\t", strconv.QuoteToASCII(column))
	}
	fmt.Println()
}

func write(text string) {
	var value any
	decoder := json.NewDecoder(strings.NewReader(text))
	if err := decoder.Decode(&value); err != nil {
		fmt.Fprintln(os.Stderr, text, err)
		os.Exit(1)
	}
	var out bytes.Buffer
	result := ""
	if err := toml.NewEncoder(&out).Encode(value); err != nil {
		result = "error: " + err.Error()
	} else {
		result = out.String()
	}
	row("write", text, result)
}

func read(text string) {
	m := map[string]any{}
	if err := toml.Unmarshal([]byte(text), &m); err != nil {
		row("read", text, "error: "+err.Error())
		return
	}
	out, err := json.Marshal(m)
	if err != nil {
		out = []byte("json: " + err.Error())
	}
	row("read", text, string(out))
}

func main() {
	for _, text := range strings.Split(strings.TrimSpace(values), "\n") {
		write(text)
	}
	for _, text := range strings.Split(documents, "\n=====\n") {
		read(text)
		if strings.Contains(text, "\n") {
			read(strings.ReplaceAll(text, "\n", "\r\n"))
		}
		read(text + "\n")
	}
	for _, text := range []string{"a = \"\xff\"", "a\x00=1", "aaaaaaaaa\x00=1", "\xef\xbb\xbfa=1", "a = 1\rb = 2", "a = \"\x01\"", "# \x7f", "\xff\xfea=1"} {
		read(text)
	}
	// The content of each document is also a case for writing.
	for _, text := range strings.Split(documents, "\n=====\n") {
		m := map[string]any{}
		if toml.Unmarshal([]byte(text), &m) == nil {
			if out, err := json.Marshal(m); err == nil {
				write(string(out))
			}
		}
	}
}

const values = `
{}
{"a":1}
{"b":1.5,"a":"x","c":true,"d":null}
{"a":1e6,"b":123456,"c":1234567,"d":0.0001,"e":0.00001,"f":1e21,"g":-0.0,"h":1e-7,"i":123456789.125,"j":100000}
{"s":"a\"b\\c\nd\te\u0000\u001f\u007f\u0080é😀/"}
{"":1,"a b":2,"a.b":3,"é":4,"-":5,"_":6,"1":7,"a\"":8,"'":9,"A":10,"a\nb":11}
{"t":{"x":1},"a":2,"u":{"v":{"w":3}},"z":4}
{"t":{}}
{"t":{"u":{}},"s":{"u":{"v":{}}}}
{"a":[],"b":[1,2,3],"c":["x","y"],"d":[1,"x",true],"e":[[1,2],["a"]],"f":[[],[[]]]}
{"a":[{"x":1},{"x":2,"y":{"z":3}},{}]}
{"a":[{"b":[{"c":1},{"c":2}]},{"b":[{"c":3}]}]}
{"a":[{"x":1},2]}
{"a":[2,{"x":1,"y":{"z":[{"q":1}]},"w":"s"}]}
{"a":[[{"x":1}],[{"y":2}]]}
{"a":[1,null]}
{"a":[null]}
{"a":[[null]]}
{"a":[{"x":null}]}
{"a":[1,{"x":null,"y":1}]}
{"a":[1,{"y":1,"z":null}]}
{"a":[1,{"y":null}]}
{"a":[1,{"a":{"b":1},"c":null}]}
{"a":{"b":{"c":{"d":{"e":1,"f":[{"g":{"h":1}}]}}}}}
{"a b":{"c d":{"e":1}},"x.y":[{"k":1}]}
{"a":{"b":null}}
{"a":null}
"text"
1
1.5
true
[]
[1,2]
["a",{"b":1}]
[{"a":1}]
[{"a":1},{"b":2}]
[null]
{"server":{"port":8080,"host":"0.0.0.0","tls":{"cert":"-----BEGIN\nabc\n","on":false}},"clients":[{"name":"a","roles":["x","y"]},{"name":"b","roles":[]}],"title":"TOML"}
{"plugins":{"io.containerd.grpc.v1.cri":{"registry":{"mirrors":{"docker.io":{"endpoint":["https://registry-1.docker.io"]}}}}},"version":2}
`

const documents = `a = 1
=====
=====
# only a comment
=====
a = 1 # c
b = "x"
[t]
c = 1.5
[t.u]
d = true
[[l]]
e = 1
[[l]]
e = 2
[l.m]
f = 1
=====
a.b.c = 1
a.b.d = 2
a."x y".'z' = 3
=====
a = {b = 1, c.d = 2, e = {f = [1, {g = 1}]}}
=====
a = {
  b = 1, # c
  c = 2,
}
=====
a = {b = 1,, c = 2}
=====
a = {,}
=====
a = {b = 1 c = 2}
=====
a = {b = 1
=====
a = {b = 1}
a.c = 2
=====
a = {b = 1}
[a]
=====
[a]
[a]
=====
[a.b]
[a]
c = 1
=====
[a.b]
[a]
[a]
=====
[[a]]
[a]
=====
a = []
[[a]]
=====
a = 1
[a]
=====
a = 1
[a.b]
=====
a = 1
a = 2
=====
a = 1
a.b = 2
=====
[t]
a = 1
a = 2
=====
a.b = 1
[a]
=====
[a]
b.c = 1
[a.b]
=====
[a]
b = [1, 2,
 3, # three
]
=====
a = [1,,2]
=====
a = [1 2]
=====
a = [
=====
a = [{x = 1}, {x = 2}]
b = [[1, 2], ["a", 1.5], []]
=====
a = [{x = 1}, {x.y = 2, x.z = 3}]
=====
a = [{x = 1, x = 2}]
=====
s = "a\tb\n\"\\\u00e9\U0001F600\e\x41\b\f\r"
=====
s = "\q"
=====
s = "\u12"
=====
s = "\ud800"
=====
s = "\UFFFFFFFF"
=====
s = "\xZZ"
=====
s = "\ x"
=====
s = "abc
=====
s = 'a\b'
t = ''
=====
s = 'abc
=====
s = """
one
two\
   three \
   

   four \"""
five"""
=====
s = """a""b"""
t = """a"""""
u = """a\"""""""
=====
s = """a""""""
=====
s = """a\""""""""
=====
s = """a
=====
s = '''
a'b''c\n
'''
t = '''a'''''
=====
s = '''a''''''
=====
s = '''a
=====
s = """a\\
b"""
=====
s = """a \  b"""
=====
i = 1_000
j = -5
k = +7
l = 0x1F
m = 0o17
n = 0b101
o = 0
p = -0
q = 0xdead_beef
r = 9223372036854775807
=====
i = 9223372036854775808
=====
i = 01
=====
i = -01
=====
i = 1__0
=====
i = 1_
=====
i = _1
=====
i = 0x
=====
i = 0xg
=====
i = 0b2
=====
i = 0o8
=====
i = +0x1
=====
i = 0b12
=====
f = 1.5
g = -0.25
h = 1e6
i = 1E-3
j = 6.02_3e+23
k = 0.0
=====
f = 1.
=====
f = .5
=====
f = +.5
=====
f = 1.e2
=====
f = 1e
=====
f = 1e+
=====
f = 1.5.2
=====
f = 01.5
=====
f = 1e999
=====
f = 1_.5
=====
f = inf
=====
f = nan
=====
f = +nax
=====
f = -i
=====
f = int
=====
f = nil
=====
b = True
=====
b = truex
=====
b = yes
=====
b =
=====
b = !
=====
b
=====
b c = 1
=====
= 1
=====
.a = 1
=====
a. = 1
=====
a..b = 1
=====
"" = 1
'x' = 2
"a.b" = 3
=====
[]
=====
[.a]
=====
[a.]
=====
[a
=====
[a]]
=====
[[a]
=====
[[a] ]
=====
[ a . "b c" . 'd' ]
x = 1
=====
[a!]
=====
[a] b
=====
a = 1 b = 2
=====
d = 1979-05-27T07:32:00Z
e = 1979-05-27T00:32:00-07:00
f = 1979-05-27T00:32:00.999999-07:00
g = 1979-05-27 07:32:00z
h = 1979-05-27t07:32:00.5
i = 1979-05-27
j = 07:32:00
k = 00:32:00.999999
l = 1979-05-27T07:32
m = 07:32
n = 1979-05-27T07:32+01:00
=====
d = 1979-5-27
=====
d = 1979-13-27
=====
d = 1979-02-30
=====
d = 1979-05-27T7:32:00
=====
d = 7:32:00
=====
d = 1979-05-27T07:32:00+1
=====
d = 1979-05-27 x
=====
d = 1979-05-27 # c
=====
a = "x" "y"
=====
[a]
b = "x
=====
[a."b.c"]
d = [1, ?]
=====
a = [[{x = 1}], [{x = 2}]]
=====
a = {x = [{y = 1}, {y = 2}], z = {}}
[b]
c = {d = {e = 1}}
=====
[a]
b = {c = 1}
[a.b.d]
=====
[[a]]
[a.b.c]
[[a]]
[a.b]
x = 1
=====
[[a.b]]
x = 1
[[a.b]]
[a.b.c]
y = 2
=====
[a]
[a.b]
[[a.b.c]]
[a.b.c.d]
=====
a = [1]
a = [2]
=====
a.b = [1]
a.b.c = 1
=====
é = 1
=====
a = é
`
