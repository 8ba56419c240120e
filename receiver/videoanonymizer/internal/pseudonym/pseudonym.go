// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package pseudonym replaces the names of videos, which may contain names of people, in what leaves the receiver about
// them. A pseudonym is the first 16 hexadecimal digits of the HMAC-SHA256 of a file's name or path: only someone who
// has the key can check whether it belongs to a given name.
package pseudonym

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

const (
	keyName   = "names.key"
	keyLength = 32 // bytes; the file holds them in hexadecimal
	digits    = 16
)

// Names creates pseudonyms. A nil Names leaves every name as it is.
type Names struct {
	key []byte
	// folders are the configured folders, longest first. They keep their names.
	folders []string
}

// Open reads the key in a directory, and creates both if they are missing. Everything below the folders gets
// pseudonyms.
func Open(directory string, folders ...string) (*Names, error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(directory, keyName)
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, keyLength)
		if _, err := rand.Read(key); err != nil {
			return nil, err
		}
		err = writeKey(path, key)
		if errors.Is(err, fs.ErrExist) { // by another receiver
			key, err = readKey(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the key of telemetry::video_names: %w", err)
	}
	n := &Names{key: key}
	for _, folder := range folders {
		n.addFolder(folder)
	}
	slices.SortFunc(n.folders, func(a, b string) int { return len(b) - len(a) })
	n.folders = slices.Compact(n.folders)
	return n, nil
}

// Exists reports whether a directory has a key.
func Exists(directory string) bool {
	_, err := os.Lstat(filepath.Join(directory, keyName))
	return err == nil
}

func readKey(path string) ([]byte, error) {
	text, err := durable.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keyLength {
		return nil, fmt.Errorf("%s is not %d bytes in hexadecimal: remove it, and names get new pseudonyms",
			path, keyLength)
	}
	return key, nil
}

// writeKey creates the file completely, or not at all.
func writeKey(path string, key []byte) error {
	temp := path + "." + hex.EncodeToString(key[:8]) + ".new"
	defer os.Remove(temp)
	if err := durable.WriteFile(temp, []byte(hex.EncodeToString(key)+"\n"), durable.Private); err != nil {
		return err
	}
	err := os.Link(temp, path)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) { // FAT has no links
		err = os.Rename(temp, path)
	}
	if err != nil {
		return err
	}
	return durable.SyncPath(filepath.Dir(path))
}

// addFolder adds a folder under all names by which paths may refer to it.
func (n *Names) addFolder(folder string) {
	if folder == "" {
		return
	}
	n.folders = append(n.folders, filepath.Clean(folder))
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return
	}
	n.folders = append(n.folders, absolute)
	if real, err := filepath.EvalSymlinks(absolute); err == nil {
		n.folders = append(n.folders, real)
	}
}

// Of returns the pseudonym of a name or path. Configured folders keep their names.
func (n *Names) Of(name string) string {
	if n == nil || name == "" || slices.Contains(n.folders, name) {
		return name
	}
	mac := hmac.New(sha256.New, n.key)
	mac.Write([]byte(name))
	return hex.EncodeToString(mac.Sum(nil))[:digits]
}

// In replaces everything in a text that names one of the files at the paths (its path, its name, and its name without
// extension), and all paths below the folders. It errs on the side of replacing too much.
func (n *Names) In(text string, paths ...string) string {
	if n == nil {
		return text
	}
	for _, path := range paths {
		text = n.replace(text, path, path)
	}
	text = n.replaceBelow(text)
	for _, path := range paths {
		if slices.Contains(n.folders, path) {
			continue
		}
		name := filepath.Base(path)
		text = n.replace(text, name, name)
		text = n.replace(text, strings.TrimSuffix(name, filepath.Ext(name)), name)
	}
	return text
}

// replace replaces each occurrence of written in a text, as it is or quoted, with the pseudonym of name, except within
// words.
func (n *Names) replace(text, written, name string) string {
	if written == "" || written == "." || written == "/" {
		return text
	}
	quoted := strconv.Quote(written)
	for _, form := range []string{quoted[1 : len(quoted)-1], strings.ToValidUTF8(written, "\uFFFD"), written} {
		if strings.Contains(text, form) {
			text = replaceWord(text, form, n.Of(name))
		}
	}
	return text
}

func replaceWord(text, word, by string) string {
	var b strings.Builder
	for from := 0; ; {
		at := strings.Index(text[from:], word)
		if at < 0 {
			b.WriteString(text[from:])
			return b.String()
		}
		at += from
		end := at + len(word)
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[end:])
		first, _ := utf8.DecodeRuneInString(word)
		last, _ := utf8.DecodeLastRuneInString(word)
		if inWord(before) && inWord(first) || inWord(last) && inWord(after) {
			end = at + max(1, utf8.RuneLen(first))
			b.WriteString(text[from:end])
		} else {
			b.WriteString(text[from:at])
			b.WriteString(by)
		}
		from = end
	}
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// ends are what may follow a path in a text.
var ends = []string{`"`, "\n", ": ", "; ", ", ", "' ", " -> "}

// replaceBelow replaces the paths below the folders, up to what may follow a path.
func (n *Names) replaceBelow(text string) string {
	for _, folder := range n.folders {
		below := strings.TrimSuffix(folder, "/") + "/"
		for from := 0; ; {
			at := strings.Index(text[from:], below)
			if at < 0 {
				break
			}
			at += from
			end := len(text)
			for _, mark := range ends {
				if i := strings.Index(text[at:end], mark); i >= 0 {
					end = at + i
				}
			}
			name := n.Of(text[at:end])
			text = text[:at] + name + text[end:]
			from = at + len(name)
		}
	}
	return text
}
