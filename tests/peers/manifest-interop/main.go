// Command manifest-interop reads manifests as Go's programs do: by encoding/json into the types of the OCI image
// specification. Each line of standard input is a manifest in base64; each line of standard output is what Go makes of
// it, or `null` where Go refuses it. With the argument `references` each line is an image reference, read as Docker and
// containerd do: `HOST REPOSITORY TAG DIGEST` comes out, or `-` where they refuse it.
package main

import (
	"bufio"
	_ "crypto/sha256" // What digests may be: a hash that is not linked makes its digests invalid.
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	"github.com/distribution/reference"
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

func parts(line string) string {
	named, err := reference.ParseDockerRef(line)
	if err != nil {
		return "-"
	}
	tag, digest := "", ""
	if tagged, ok := named.(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		digest = digested.Digest().String()
	}
	return fmt.Sprintf("%s %s %s %s", reference.Domain(named), reference.Path(named), tag, digest)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	references := len(os.Args) > 1 && os.Args[1] == "references"
	for lines.Scan() {
		if references {
			fmt.Fprintln(out, parts(lines.Text()))
			continue
		}
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
