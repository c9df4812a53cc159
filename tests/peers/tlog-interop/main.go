// A second opinion on transparency logs: golang.org/x/mod/sumdb checks what airlock wrote, and writes what airlock
// checks.
//
//	tlog-interop check FOLDER VKEY          every tile, entry and signature of a log; prints its size
//	tlog-interop proof FILE VKEY ENTRY      that a tlog-proof holds for the entry
//	tlog-interop consistency OLD NEW VKEY HASH...  that the checkpoint NEW goes on from OLD
//	tlog-interop make FOLDER COUNT          writes a log of COUNT entries; prints its key
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func main() {
	arguments := os.Args[1:]
	commands := map[string]func([]string){"check": check, "proof": proof, "consistency": consistency, "make": write}
	if len(arguments) == 0 || commands[arguments[0]] == nil {
		fail(fmt.Errorf("usage: tlog-interop check|proof|consistency|make ..."))
	}
	commands[arguments[0]](arguments[1:])
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func must[T any](value T, err error) T {
	if err != nil {
		fail(err)
	}
	return value
}

func tilePath(folder string, level string, n int64, width int) string {
	name := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		name = fmt.Sprintf("x%03d/%s", n%1000, name)
	}
	if width < 1<<height {
		name += fmt.Sprintf(".p/%d", width)
	}
	return filepath.Join(folder, "tile", level, name)
}

type reader struct{ folder string }

func (r reader) Height() int { return height }

func (r reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, t := range tiles {
		bytes, err := os.ReadFile(tilePath(r.folder, strconv.Itoa(t.L), t.N, t.W))
		if err != nil {
			return nil, err
		}
		data = append(data, bytes)
	}
	return data, nil
}

func (r reader) SaveTiles([]tlog.Tile, [][]byte) {}

// checkpoint opens a signed checkpoint and reads its size and root.
func checkpoint(text []byte, vkey string) tlog.Tree {
	verifier := must(note.NewVerifier(vkey))
	opened := must(note.Open(text, note.VerifierList(verifier)))
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		fail(fmt.Errorf("not a checkpoint of %s", verifier.Name()))
	}
	root := must(base64.StdEncoding.DecodeString(lines[2]))
	tree := tlog.Tree{N: must(strconv.ParseInt(lines[1], 10, 64))}
	copy(tree.Hash[:], root)
	return tree
}

func entries(folder string, n int64, width int) [][]byte {
	data := must(os.ReadFile(tilePath(folder, "entries", n, width)))
	var list [][]byte
	for len(data) > 0 {
		length := int(binary.BigEndian.Uint16(data))
		list = append(list, data[2:2+length])
		data = data[2+length:]
	}
	return list
}

func check(arguments []string) {
	folder := arguments[0]
	tree := checkpoint(must(os.ReadFile(filepath.Join(folder, "checkpoint"))), arguments[1])
	hashes := tlog.TileHashReader(tree, reader{folder})
	if got := must(tlog.TreeHash(tree.N, hashes)); got != tree.Hash {
		fail(fmt.Errorf("root %v, checkpoint %v", got, tree.Hash))
	}
	for first := int64(0); first < tree.N; first += 1 << height {
		width := int(min(tree.N-first, 1<<height))
		for i, entry := range entries(folder, first>>height, width) {
			index := first + int64(i)
			proof := must(tlog.ProveRecord(tree.N, index, hashes))
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
				fail(fmt.Errorf("entry %d: %w", index, err))
			}
		}
	}
	fmt.Println(tree.N)
}

func hashList(lines []string) []tlog.Hash {
	var list []tlog.Hash
	for _, line := range lines {
		var hash tlog.Hash
		copy(hash[:], must(base64.StdEncoding.DecodeString(line)))
		list = append(list, hash)
	}
	return list
}

func proof(arguments []string) {
	head, note, _ := strings.Cut(string(must(os.ReadFile(arguments[0]))), "\n\n")
	lines := strings.Split(head, "\n")
	index := must(strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64))
	tree := checkpoint([]byte(note), arguments[1])
	leaf := tlog.RecordHash([]byte(arguments[2]))
	if err := tlog.CheckRecord(hashList(lines[2:]), tree.N, tree.Hash, index, leaf); err != nil {
		fail(err)
	}
}

func consistency(arguments []string) {
	old := checkpoint(must(os.ReadFile(arguments[0])), arguments[2])
	now := checkpoint(must(os.ReadFile(arguments[1])), arguments[2])
	if err := tlog.CheckTree(hashList(arguments[3:]), now.N, now.Hash, old.N, old.Hash); err != nil {
		fail(err)
	}
}

type stored []tlog.Hash

func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var list []tlog.Hash
	for _, index := range indexes {
		list = append(list, s[index])
	}
	return list, nil
}

func write(arguments []string) {
	folder, count := arguments[0], must(strconv.ParseInt(arguments[1], 10, 64))
	skey, vkey, err := note.GenerateKey(rand.Reader, "other.example")
	if err != nil {
		fail(err)
	}
	var hashes stored
	bundles := map[int64]*bytes.Buffer{}
	for n := int64(0); n < count; n++ {
		entry := []byte(fmt.Sprintf("entry %d", n))
		hashes = append(hashes, must(tlog.StoredHashes(n, entry, hashes))...)
		if bundles[n>>height] == nil {
			bundles[n>>height] = new(bytes.Buffer)
		}
		binary.Write(bundles[n>>height], binary.BigEndian, uint16(len(entry)))
		bundles[n>>height].Write(entry)
	}
	put := func(path string, data []byte) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			fail(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			fail(err)
		}
	}
	for n, bundle := range bundles {
		put(tilePath(folder, "entries", n, int(min(count-n<<height, 1<<height))), bundle.Bytes())
	}
	for _, t := range tlog.NewTiles(height, 0, count) {
		put(tilePath(folder, strconv.Itoa(t.L), t.N, t.W), must(tlog.ReadTileData(t, hashes)))
	}
	root := must(tlog.TreeHash(count, hashes))
	text := fmt.Sprintf("other.example\n%d\n%s\n", count, base64.StdEncoding.EncodeToString(root[:]))
	put(filepath.Join(folder, "checkpoint"), must(note.Sign(&note.Note{Text: text}, must(note.NewSigner(skey)))))
	fmt.Print(vkey)
}
