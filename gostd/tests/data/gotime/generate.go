// Generates cases.tsv: the results of Go's package time for layouts, values, zones and durations.
// Run it with UTC as the local zone: TZ=UTC go run generate.go > cases.tsv
//
// Columns, each as a Go string literal:
//   format  <unix seconds> <nanoseconds> <zone> <layout> <text>
//   parse   <layout> <value> <Time.String, or "error: " and the error>
//   length  <text> <nanoseconds, or "error: " and the error> <Duration.String>
//   date    <year month day hour minute second> <zone> <unix seconds>
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata"
)

func row(kind string, columns ...string) {
	fmt.Print(kind)
	for _, column := range columns {
		fmt.Print("\t", strconv.QuoteToASCII(column))
	}
	fmt.Println()
}

var layouts = []string{
	time.ANSIC, time.UnixDate, time.RubyDate, time.RFC822, time.RFC822Z, time.RFC850, time.RFC1123, time.RFC1123Z,
	time.RFC3339, time.RFC3339Nano, time.Kitchen, time.Stamp, time.StampMilli, time.StampNano, time.DateTime,
	"January Jan 01 1 Monday Mon 2 _2 02 002 __2 15 03 3 04 4 05 5 PM pm MST 2006 06",
	"Z07:00 Z0700 Z07 Z070000 Z07:00:00 -0700 -07:00 -07 -070000 -07:00:00",
	"05.000 05.999 05,000000 05,999999999 .9 .00 .0001 .00x ,9", "_2006 _2 __2 ___2", "Month Sunday Januaryx janu",
	"20060102150405", "Thé 2 of 1 \u4e16 5", "2006-01-02T15:04:05.000000000Z07:00", "", "no elements", "1501 0102 00",
	"3PM 3pm 03:04PM", "06-1-2 0402", "2006-002 2006-__2", "-0 -07x Z Z0 Z7 .x . ,", "M Mo MS JanFeb MonTue",
}

var zones = []string{
	"UTC", "Local", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Monrovia",
	"America/St_Johns", "Asia/Kathmandu", "Pacific/Apia", "Etc/GMT+5", "America/Sao_Paulo", "nowhere/none", "europe/berlin",
}

var instants = [][2]int64{
	{0, 0}, {1136239445, 123456789}, {1700000000, 500000000}, {1711846800, 0}, {1711846799, 999999999}, {1729990800, 1},
	{-62135596800, 0}, {-1, 999000000}, {253402300799, 100}, {-86400 * 365, 120000000}, {4102444800, 7}, {951782400, 0},
	{1325203200, 0}, {-2208988800, 0}, {-62167219200 - 86400*366, 0},
}

func main() {
	for i, at := range instants {
		for j, zone := range zones {
			for k, layout := range layouts {
				// A sample of the product that pairs every element with every other at least once.
				if (i*7+j*3+k)%13 != 0 {
					continue
				}
				location, err := time.LoadLocation(zone)
				if err != nil {
					location = time.UTC
				}
				text := time.Unix(at[0], at[1]).In(location).Format(layout)
				row("format", fmt.Sprint(at[0]), fmt.Sprint(at[1]), zone, layout, text)
			}
		}
	}
	for _, c := range strings.Split(strings.TrimSpace(values), "\n") {
		layout, value, _ := strings.Cut(c, "|")
		t, err := time.ParseInLocation(layout, value, time.Local)
		out := t.String()
		if err != nil {
			out = "error: " + err.Error()
		}
		row("parse", layout, value, out)
	}
	for _, text := range strings.Split(durations, "|") {
		d, err := time.ParseDuration(text)
		out := fmt.Sprint(int64(d))
		if err != nil {
			out = "error: " + err.Error()
		}
		row("length", text, out, d.String())
	}
	for _, zone := range zones[:12] {
		location, _ := time.LoadLocation(zone)
		for _, d := range [][6]int{
			{2024, 3, 31, 2, 30, 0}, {2024, 10, 27, 2, 30, 0}, {2024, 3, 10, 2, 30, 0}, {2024, 11, 3, 1, 30, 0},
			{2024, 14, -3, 25, 61, -61}, {2011, 12, 30, 12, 0, 0}, {1, 1, 1, 0, 0, 0}, {1900, 2, 29, 0, 0, 0}, {-5, 3, 1, 0, 0, 0},
		} {
			t := time.Date(d[0], time.Month(d[1]), d[2], d[3], d[4], d[5], 0, location)
			row("date", strings.Trim(fmt.Sprint(d), "[]"), zone, fmt.Sprint(t.Unix()))
		}
	}
	if time.Local.String() != "Local" && time.Local.String() != "UTC" {
		os.Exit(1)
	}
}

const durations = "0|1|1s|-1s|+5s|1h|1.5h|1h2m3s|1h15m30.918s|100ms|1us|1\u00b5s|1\u03bcs|1ns|.5s|5.s|.s|-.s||-|s|3000000h|" +
	"2562047h47m16.854775807s|2562047h47m16.854775808s|-2562047h47m16.854775808s|9223372036854775807ns|9223372036854775808ns|" +
	"-9223372036854775808ns|1d|1h 2m|1.0000000000000000000000001s|0.000000001s|0.9999999999999999999h|39h9m14.425s|1m0s|61s|" +
	"3600s|1x|1.2.3s|1e3s|0.1ms|1500us|1.5\u00b5s|\"1s|\u00e4|18446744073709551616s|+0|-0|00|0s|1hour|90m|0.3333333333333333333h"

const values = `
2006-01-02|2024-02-29
2006-01-02|2023-02-29
2006-01-02|2024-2-3
2006-1-2|2024-2-3
2006-1-2|2024-12-31
2006-01-02T15:04:05Z07:00|2024-05-06T07:08:09Z
2006-01-02T15:04:05Z07:00|2024-05-06T07:08:09+00:00
2006-01-02T15:04:05Z07:00|2024-05-06T07:08:09+02:00
2006-01-02T15:04:05Z07:00|2024-05-06T07:08:09.123456789012-03:30
2006-01-02T15:04:05Z07:00|2024-05-06T07:08:09,5Z
2006-01-02T15:04:05Z07:00|2024-05-06T7:08:09Z
2006-01-02T15:04:05Z07:00|2024-05-06T07:08:60Z
2006-01-02T15:04:05Z07:00|2024-05-06T24:08:00Z
2006-01-02T15:04:05Z07:00|2024-05-06T07:60:00Z
2006-01-02T15:04:05Z07:00|2024-13-06T07:00:00Z
2006-01-02T15:04:05Z07:00|2024-00-06T07:00:00Z
2006-01-02T15:04:05Z07:00|2024-05-06T07:08:09+25:00
2006-01-02T15:04:05Z07:00|2024-05-06T07:08:09+24:60
2006-01-02T15:04:05Z07:00|2024-05-06T07:08:09+02:61
2006-01-02T15:04:05Z07:00|2024-05-06T07:08:09*02:00
2006-01-02T15:04:05Z07:00|2024-05-06T07:08:09
2006-01-02T15:04:05Z07:00|2024-05-06T07:08:09Zx
2006-01-02T15:04:05.999999999Z07:00|2024-05-06T07:08:09.25+05:45
Mon Jan _2 15:04:05 2006|Tue Feb  4 03:04:05 2020
Mon Jan _2 15:04:05 2006|tue FEB 14 03:04:05 2020
Mon Jan _2 15:04:05 2006|Tux Feb 14 03:04:05 2020
Mon Jan _2 15:04:05 MST 2006|Tue Feb 14 03:04:05 CET 2020
Mon Jan _2 15:04:05 MST 2006|Tue Feb 14 03:04:05 UTC 2020
Mon Jan _2 15:04:05 MST 2006|Tue Feb 14 03:04:05 GMT+3 2020
Mon Jan _2 15:04:05 MST 2006|Tue Feb 14 03:04:05 GMT-23 2020
Mon Jan _2 15:04:05 MST 2006|Tue Feb 14 03:04:05 GMT+24 2020
Mon Jan _2 15:04:05 MST 2006|Tue Feb 14 03:04:05 +07 2020
Mon Jan _2 15:04:05 MST 2006|Tue Feb 14 03:04:05 -7 2020
Mon Jan _2 15:04:05 MST 2006|Tue Feb 14 03:04:05 ChST 2020
Mon Jan _2 15:04:05 MST 2006|Tue Feb 14 03:04:05 WITA 2020
Mon Jan _2 15:04:05 MST 2006|Tue Feb 14 03:04:05 ABCD 2020
Mon Jan _2 15:04:05 MST 2006|Tue Feb 14 03:04:05 AB 2020
Mon Jan _2 15:04:05 MST 2006|Tue Feb 14 03:04:05 ABCDET 2020
Monday, 02-Jan-06 15:04:05 MST|Wednesday, 04-Mar-70 03:04:05 EST
Monday, 02-Jan-06 15:04:05 MST|Wednesday, 04-Mar-68 03:04:05 AEST
Mon, 02 Jan 2006 15:04:05 -0700|Wed, 04 Mar 2020 03:04:05 -0800
Mon, 02 Jan 2006 15:04:05 -0700|Wed, 04 Mar 2020 03:04:05 +0000
Mon, 02 Jan 2006 15:04:05 -0700|Wed, 04 Mar 2020 03:04:05 0800
2006-01-02 15:04:05 -0700 MST|2020-03-04 05:06:07 +0100 CET
2006-01-02 15:04:05 -0700 MST|2020-03-04 05:06:07 +0000 GMT
2006-01-02 15:04:05 -0700 MST|2020-03-04 05:06:07 +0000 UTC
3:04PM|3:04PM
3:04PM|12:04AM
3:04PM|12:04PM
3:04PM|13:04PM
3:04PM|0:04AM
3:04PM|3:04pm
3:04PM|3:04
3:04pm|3:04pm
03:04pm|3:04pm
15:04|7:05
15:4:5|7:5:9
15:04:05|07:05:06.789
15:04:05.000|07:05:06.789
15:04:05.000|07:05:06.78
15:04:05.000|07:05:06.7891
15:04:05.000|07:05:06
15:04:05.999|07:05:06
15:04:05.999|07:05:06.123456
15:04:05,000|07:05:06,789
15:04:05 .000|07:05:06 .789
2006-002|2024-060
2006-002|2023-060
2006-002|2024-366
2006-002|2023-366
2006-002|2023-000
2006-002|2023-12
2006-__2|2023- 12
2006-__2|2023-  1
2006-__2|2023-300
2006-01-02 002|2024-03-01 061
2006-01-02 002|2024-03-01 062
2006-01-02 002|2024-04-01 061
January 2, 2006|February 30, 2021
January 2, 2006|february 3, 2021
January 2, 2006|Feb 3, 2021
Jan 2 06|Feb 3 21
Jan 2 06|Feb 3 2
Jan 2 06|Feb 3 -1
2006-01-02|
2006-01-02|2024
2006-01-02|2024-01-02 
2006-01-02|2024-01-0x
2006-01-02|20x4-01-02
2006-01-02| 2024-01-02
2006-01-02|2024/01/02
2006  01|2024 02
2006 01|2024   02
2006 01|202402
|
|x
x|
x|x
"2006"|"2024"
2006é|2024é
2006é|2024ë
2006 -070000|2024 +010203
2006 -07:00:00|2024 -01:02:03
2006 -07:00:00|2024 -01:02
2006 -07|2024 -05
2006 Z07|2024 Z
2006 Z0700|2024 +0530
2006 Z070000|2024 Z
2006 -0700|2024 Z
2006 MST|2024 MeST
2006 _2 Jan|2024  9 Dec
2006 _2 Jan|2024   9 Dec
2006 02 Jan|2024 9 Dec
_2006|_2024
06|69
06|68
04|60
4|5
05|61
5|7.5
`
