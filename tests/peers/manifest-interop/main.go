// Command manifest-interop reads manifests as Go's programs do: by encoding/json into the types of the OCI image
// specification. Each line of standard input is a manifest in base64; each line of standard output is what Go makes of
// it, or `null` where Go refuses it.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// document has the members of v1.Manifest and of v1.Index.
type document struct {
	specs.Versioned
	MediaType    string            `json:"mediaType,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Config       *v1.Descriptor    `json:"config,omitempty"`
	Layers       []v1.Descriptor   `json:"layers,omitempty"`
	Manifests    []v1.Descriptor   `json:"manifests,omitempty"`
	Subject      *v1.Descriptor    `json:"subject,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

func read(line []byte) (*document, error) {
	text := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	length, err := base64.StdEncoding.Decode(text, line)
	if err != nil {
		fmt.Fprintln(os.Stderr, "a line is not base64:", err)
		os.Exit(2)
	}
	text = text[:length]
	// The three types must agree, or a client that knows only one of them sees another manifest.
	for _, kind := range []any{&v1.Manifest{}, &v1.Index{}} {
		if err := json.Unmarshal(text, kind); err != nil {
			return nil, err
		}
	}
	found := &document{}
	if err := json.Unmarshal(text, found); err != nil {
		return nil, err
	}
	return found, nil
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		found, err := read(lines.Bytes())
		if err != nil {
			fmt.Fprintln(out, "null")
			continue
		}
		text, err := json.Marshal(found)
		if err != nil {
			fmt.Fprintln(os.Stderr, "cannot write a manifest:", err)
			os.Exit(2)
		}
		fmt.Fprintf(out, "%s\n", text)
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot read:", err)
		os.Exit(2)
	}
}
