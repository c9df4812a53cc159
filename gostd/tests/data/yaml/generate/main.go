// Command generate writes, line by line, the results of sigs.k8s.io/yaml for a document, with the versions that
// Helm 4.3.0 is built with. To regenerate the cases:
//
//	go run . < ../cases.jsonl > new.jsonl
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"strings"

	yaml3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// A document and its results.
type result struct {
	ID string `json:"id,omitempty"`
	// The document in base64, if it is not UTF-8.
	Src  []byte `json:"src,omitempty"`
	Text string `json:"text,omitempty"`
	// "json": the document is read as JSON.
	Mode string `json:"mode,omitempty"`
	// The result of yaml.Unmarshal into any, as JSON.
	JSON *string `json:"json,omitempty"`
	// The result of yaml.YAMLToJSON, if it differs: whole numbers beyond 2^53.
	Exact *string `json:"exact,omitempty"`
	Err   string  `json:"err,omitempty"`
	// The error of yaml.YAMLToJSONStrict.
	Strict string `json:"strict,omitempty"`
	// The result of yaml.Marshal for the value, and its error.
	YAML *string `json:"yaml,omitempty"`
	YErr string  `json:"yerr,omitempty"`
	// The result of toYamlPretty, if it differs.
	Pretty *string `json:"pretty,omitempty"`
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<30)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for in.Scan() {
		var input result
		if err := json.Unmarshal(in.Bytes(), &input); err != nil {
			panic(err)
		}
		if err := out.Encode(run(input)); err != nil {
			panic(err)
		}
	}
}

func run(input result) result {
	a := result{ID: input.ID, Src: input.Src, Text: input.Text, Mode: input.Mode}
	source := a.Src
	if source == nil {
		source = []byte(a.Text)
	}
	var value any
	var err error
	if a.Mode == "json" {
		err = json.Unmarshal(source, &value)
	} else {
		err = yaml.Unmarshal(source, &value)
	}
	if err != nil {
		a.Err = err.Error()
		return a
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	a.JSON = pointer(string(text))
	if a.Mode != "json" {
		if exact, err := yaml.YAMLToJSON(source); err == nil && !bytes.Equal(exact, text) {
			a.Exact = pointer(string(exact))
		}
		if _, err := yaml.YAMLToJSONStrict(source); err != nil {
			a.Strict = err.Error()
		}
	}
	if written, err := yaml.Marshal(value); err != nil {
		a.YErr = err.Error()
	} else {
		a.YAML = pointer(string(written))
	}
	var pretty bytes.Buffer
	encoder := yaml3.NewEncoder(&pretty)
	encoder.SetIndent(2)
	if err := encoder.Encode(value); err == nil {
		trimmed := strings.TrimSuffix(pretty.String(), "\n")
		if a.YAML == nil || trimmed != strings.TrimSuffix(*a.YAML, "\n") {
			a.Pretty = pointer(trimmed)
		}
	}
	return a
}

func pointer(text string) *string { return &text }
