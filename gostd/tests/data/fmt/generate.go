// Generates fmt.json, what Go's fmt prints for template values: go run generate.go >fmt.json
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
)

type value = map[string]any

// decode returns the Go value that v describes.
func decode(v value) any {
	for kind, x := range v {
		switch kind {
		case "int":
			return x.(int)
		case "int64":
			return int64(x.(int))
		case "uint64":
			return uint64(x.(int))
		case "float64":
			f := 0.0
			fmt.Sscan(x.(string), &f)
			return f
		case "hex":
			var b []byte
			fmt.Sscanf(x.(string), "%x", &b)
			return string(b)
		case "bytes":
			return []byte(x.(string))
		case "list":
			out := []any{}
			for _, e := range x.([]value) {
				out = append(out, decode(e))
			}
			return out
		case "map":
			out := map[string]any{}
			for k, e := range x.(map[string]value) {
				out[k] = decode(e)
			}
			return out
		default: // string, bool, strings, nil
			return x
		}
	}
	return nil
}

func i(n int) value         { return value{"int": n} }
func f(text string) value   { return value{"float64": text} }
func s(text string) value   { return value{"string": text} }
func list(v ...value) value { return value{"list": append([]value{}, v...)} }

var null = value{"nil": nil}
var nested = value{"map": map[string]value{"b": list(i(1), s("x"), null), "a": f("1e6")}}

func main() {
	rows := []map[string]any{}
	add := func(format string, values ...value) {
		args := []any{}
		for _, v := range values {
			args = append(args, decode(v))
		}
		var want string
		switch format {
		case "print":
			want = fmt.Sprint(args...)
		case "println":
			want = fmt.Sprintln(args...)
		default:
			want = fmt.Sprintf(format, args...)
		}
		rows = append(rows, map[string]any{"format": format, "values": append([]value{}, values...), "want": want})
	}
	basic := []value{null, {"bool": true}, i(42), i(-7), {"int64": 8364}, {"uint64": 255}, f("3.5"), s("h\u00e9\t\"`"),
		{"hex": "ff41e282"}, {"bytes": "ab"}, list(i(1), s("x"), null, list(f("2"))), {"strings": []string{"a b", "c"}}, nested}
	for _, verb := range []string{"v", "+v", "#v", "T", "d", "s", "q", "x", "X", "o", "O", "b", "c", "U", "e", "E", "f", "F",
		"g", "G", "t", "w", "z", "5v", "-5v|", "05v", "+q", "#q", "#x", "% x", "# X", ".1s", ".2v", "+d", "08.3f", "% d", "#U"} {
		for _, v := range basic {
			add("%"+verb, v)
		}
	}
	for _, number := range []string{"0", "-0", "1", "-1.5", "0.1", "100000", "999999", "1000000", "1234567", "123456789", "1e20", "1e21",
		"1e22", "0.0001", "0.00001", "1.7976931348623157e308", "5e-324", "2.5", "3.5", "0.25", "0.35", "1e100", "NaN", "+Inf", "-Inf",
		fmt.Sprint(math.Pi), "4503599627370497.5", "9007199254740993"} {
		for _, format := range []string{"%v", "%.0f", "%.2f", "%.3e", "%g", "%.3g", "%.10G", "%#g", "%#.3v", "%+v", "% .1f", "%012.3f",
			"%-12v|", "%b", "%x", "%.3X", "%#v", "%.30f", "%#x", "%#.0f", "%+012g"} {
			add(format, f(number))
		}
	}
	for _, n := range []int{0, 1, -1, 9, 64, 65, 0x20ac, 0x1f600, 0xd800, 0x110000, math.MaxInt64, math.MinInt64} {
		for _, format := range []string{"%d", "%5d", "%-5d|", "%05d", "%+d", "%+05d", "% 05d", "%.3d", "%8.3d", "%08.3d", "%.0d", "%5.0d|", "%#x",
			"%#X", "%#o", "%O", "%#O", "%#b", "%c", "%q", "%+q", "%U", "%#U", "%#.8U", "%x", "%5c|", "%-5q|", "%#08x", "%v", "%#v"} {
			add(format, i(n))
		}
	}
	for _, text := range []string{"", "plain", "a\nb", "tab\there", "\u00a0\ufeff\u200b", "\u20ac\U0001f600", "\x00\x07\x7f", "back`tick", "e\u0301", "\ue000\U0010ffff"} {
		for _, format := range []string{"%s", "%q", "%+q", "%#q", "%#+q", "%x", "% x", "%#x", "% #X", "%.2s", "%10s|", "%-10s|", "%010s", "%.1q", "%12q",
			"%.3x", "%#v", "%+v", "%20x|", "%-20x|", "%d"} {
			add(format, s(text))
		}
	}
	add("")
	add("no verbs", i(1), null, s("x"))
	add("%")
	add("100%")
	add("%%", i(1))
	add("%d %s", i(1))
	add("%d")
	add("%!", i(1))
	add("%z", null)
	add("%[2]d %[1]d", i(1), i(2))
	add("%[2]d", i(1), i(2))
	add("%[3]d", i(1), i(2))
	add("%[0]d", i(1))
	add("%[x]d", i(1))
	add("%[1", i(1))
	add("%[]d", i(1))
	add("%[1]", i(1))
	add("%[1]2d", i(1))
	add("%[2]*[1]d|", i(7), i(5))
	add("%[3]*.[2]*[1]f|", f("12"), i(2), i(6))
	add("%.[2]d", i(1), i(2))
	add("%[1]d %d %[1]d %d", i(1), i(2))
	add("%*d|", i(5), i(7))
	add("%-*d|", i(5), i(7))
	add("%*d|", i(-5), i(7))
	add("%*d|", s("x"), i(7))
	add("%.*f|", i(2), f("1"))
	add("%.*f|", i(-2), f("1"))
	add("%.*f|", null, f("1"))
	add("%*d|", i(10000000), i(7))
	add("%99999999999d", i(1))
	add("%.d|", i(0))
	add("%5.", i(0))
	add("%.", i(0))
	add("%-05d|", i(3))
	add("%+-6d|", i(3))
	add("%\u20ac", i(3))
	add("%-", i(3))
	add("%d%d%d", i(1), i(2), i(3), i(4), nested)
	add("%6.2f|%-8s|%08b", f("3.14159"), s("go"), i(5))
	add("%s and %v", nested, nested)
	add("%d", list(i(1), list(s("x"))))
	add("%6d|", list(i(1), i(2)))
	add("%t %t", value{"bool": false}, s("x"))
	add("%s", value{"hex": "fffe"})
	add("%.1s|", value{"hex": "41ff"})
	add("%x %X", value{"bytes": "hello"}, value{"bytes": ""})
	add("%#v", list())
	add("%v %d", value{"map": map[string]value{}}, value{"strings": []string{}})
	add("print")
	add("print", i(1), i(2))
	add("print", s("a"), i(1), i(2), s("b"), s("c"), f("1.5"), null, null)
	add("print", null)
	add("print", nested, list(), value{"bool": true})
	add("println")
	add("println", s("a"), s("b"), i(1), null)
	out := []map[string]any{}
	for _, row := range rows {
		if want := row["want"].(string); json.Valid([]byte(want)) || len(want) == len(string([]rune(want))) {
			out = append(out, row)
		}
	}
	e := json.NewEncoder(os.Stdout)
	e.SetEscapeHTML(false)
	for _, row := range out {
		if err := e.Encode(row); err != nil {
			panic(err)
		}
	}
}
