// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package tokens manages the file of named tokens that the console reads and anonymizerctl writes. The file holds
// digests, from which no token can be derived: tokens are random and long.
package tokens

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
)

const (
	// DefaultDirectory is where the console keeps its tokens by default.
	DefaultDirectory = "telemetry/console"
	// FileName is the name of the file of named tokens in that directory.
	FileName = "tokens.json"
	// StartFileName is the name of the file with the token that the console shows when it starts.
	StartFileName = "token"
)

// Token is a named token. Its name identifies the actor in the audit.
type Token struct {
	Name    string          `json:"name"`
	Role    consoleapi.Role `json:"role"`
	SHA256  string          `json:"sha256"`
	Created time.Time       `json:"created"`
	// Expires is zero for a token that does not expire.
	Expires time.Time `json:"expires,omitzero"`
}

// New returns a random token of 26 characters with 130 bits of entropy.
func New() string { return rand.Text() }

// Digest returns the hexadecimal digest of a token.
func Digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Read returns the tokens in a directory, or nil if it has no file of tokens.
func Read(directory string) ([]Token, error) {
	text, err := os.ReadFile(filepath.Join(directory, FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var tokens []Token
	if err := json.Unmarshal(text, &tokens); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(directory, FileName), err)
	}
	return tokens, nil
}

var validName = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N} ._@+-]{0,63}$`)

// Create adds a token to the file in a directory and returns the token, which is stored nowhere. A lifetime of 0 means
// that it never expires.
func Create(directory, name string, role consoleapi.Role, lifetime time.Duration) (string, error) {
	if !validName.MatchString(name) || strings.HasSuffix(name, " ") {
		return "", fmt.Errorf("name %q: write 1 to 64 letters, digits, spaces and ._@+-, beginning with a letter or digit",
			name)
	}
	if role.Permissions() == nil {
		return "", fmt.Errorf("role %q is not known: write one of %s", role, names(consoleapi.Roles))
	}
	token := New()
	now := time.Now().UTC().Truncate(time.Second)
	added := Token{Name: name, Role: role, SHA256: Digest(token), Created: now}
	if lifetime > 0 {
		added.Expires = now.Add(lifetime)
	}
	return token, change(directory, func(tokens []Token) ([]Token, error) {
		if slices.ContainsFunc(tokens, func(t Token) bool { return t.Name == name }) || name == "operator" {
			return nil, fmt.Errorf("there is already a token with the name %q: revoke it, or write another name", name)
		}
		return append(tokens, added), nil
	})
}

// Revoke removes a token from the file.
func Revoke(directory, name string) error {
	return change(directory, func(tokens []Token) ([]Token, error) {
		kept := slices.DeleteFunc(slices.Clone(tokens), func(t Token) bool { return t.Name == name })
		if len(kept) == len(tokens) {
			return nil, fmt.Errorf("there is no token with the name %q", name)
		}
		return kept, nil
	})
}

// change replaces the file with one that holds the tokens returned by by, under a lock that excludes other processes.
func change(directory string, by func([]Token) ([]Token, error)) error {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(directory, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	tokens, err := Read(directory)
	if err != nil {
		return err
	}
	if tokens, err = by(tokens); err != nil {
		return err
	}
	text, err := json.MarshalIndent(tokens, "", "  ")
	if err != nil {
		return err
	}
	return Replace(filepath.Join(directory, FileName), append(text, '\n'))
}

// Replace replaces a file with one with other content that only its owner can read.
func Replace(path string, content []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // created with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if _, err = temp.Write(content); err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

func names[T ~string](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return strings.Join(texts, ", ")
}
