// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// identity is the content of an nkey file.
type identity struct {
	pair   nkeys.KeyPair
	public string
	// others are the other public nkeys that an embedded server accepts.
	others []string
}

// readIdentity reads an nkey file: a seed, followed by public nkeys of users, one per line. Lines that start with # are
// comments.
func readIdentity(path string) (identity, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return identity{}, fmt.Errorf("nkey_file: %w: write the path of a file that anonymizerctl share nkey has made, and "+
			"that the collector's user can read", err)
	}
	id, err := parseIdentity(string(text))
	if err != nil {
		return identity{}, fmt.Errorf("nkey_file: %s: %w", path, err)
	}
	return id, nil
}

func parseIdentity(text string) (id identity, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case id.pair == nil:
			if id.pair, err = nkeys.FromSeed([]byte(line)); err != nil {
				return identity{}, errors.New("its first line is not a seed: make one with anonymizerctl share nkey")
			}
			if id.public, err = id.pair.PublicKey(); err != nil || !nkeys.IsValidPublicUserKey(id.public) {
				return identity{}, errors.New("its first line is not a user's seed: make one with anonymizerctl share nkey")
			}
		case nkeys.IsValidPublicUserKey(line):
			id.others = append(id.others, line)
		default: // not quoted: it may be a seed
			return identity{}, errors.New("a line after the seed is not a user's public nkey, which starts with U")
		}
	}
	if id.pair == nil {
		return identity{}, errors.New("it is empty: make one with anonymizerctl share nkey")
	}
	return id, nil
}

// users returns the public nkeys of all machines that may connect.
func (id identity) users() []string { return append([]string{id.public}, id.others...) }

// EnsureIdentity returns the public nkey of an nkey file, which it creates if there is none.
func EnsureIdentity(path string) (public string, err error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := makeIdentity(path); err != nil {
			return "", err
		}
	}
	id, err := readIdentity(path)
	return id.public, err
}

// PublicNKey returns the public nkey of this machine.
func (c *Config) PublicNKey() (string, error) {
	id, err := readIdentity(c.NKeyFile)
	return id.public, err
}

// makeIdentity writes a new seed to a file that only its owner may read.
func makeIdentity(path string) error {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return err
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(seed, '\n'), durable.Private)
}
