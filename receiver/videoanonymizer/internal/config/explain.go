// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// undecoded are decoding errors, each of which begins with its key.
type undecoded []error

func (u undecoded) Error() string { return errors.Join(u...).Error() }

func (u undecoded) Unwrap() []error { return u }

// Explain names the keys in a decoding error as in all other errors. For a key that does not exist, it suggests a
// similar one.
func Explain(err error) error { return undecoded(explained(err, nil)) }

// explained lists the mistakes in an error about a block.
func explained(err error, block []string) (all []error) {
	switch e := err.(type) { //nolint:errorlint // the whole tree of errors is walked
	case interface {
		Name() string // of package mapstructure's DecodeError: a path such as mask.regions[0]
		Unwrap() error
	}:
		if name := e.Name(); name != "" && !strings.HasPrefix(name, "config.") { // the type's name stands for the root
			block = append(slices.Clone(block), strings.Split(name, ".")...)
		}
		return explained(e.Unwrap(), block)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			all = append(all, explained(err, block)...)
		}
		return all
	}
	if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), "decoding failed due to") {
		return explained(inner, block)
	}
	text, path := err.Error(), strings.Join(block, "::")
	if keys, ok := strings.CutPrefix(text, "has invalid keys: "); ok {
		for key := range strings.SplitSeq(keys, ", ") {
			all = append(all, unknownKey(block, key))
		}
		return all
	}
	switch {
	case path == "":
		return []error{err}
	case strings.HasPrefix(text, "time: "): // of time.ParseDuration, which says neither which key nor which units exist
		return []error{fmt.Errorf("%s: is not a duration: write a number and its unit, ms, s, m or h, such as 30s or 240h "+
			"for ten days", path)}
	case ownError.MatchString(text):
		return within(path, []error{err})
	}
	return []error{fmt.Errorf("%s: %w", path, err)}
}

// ownError matches errors that begin with their key.
var ownError = regexp.MustCompile(`^[a-z_]+(\[[^]]*\])?(::[a-z_]+(\[[^]]*\])?)*: `)

func unknownKey(block []string, key string) error {
	whole := strings.Join(append(slices.Clone(block), key), "::")
	keys := keysOf(reflect.TypeFor[Config](), block)
	if near := nearest(key, keys); near != "" {
		return fmt.Errorf("%s: there is no such key: did you mean %s?", whole, near)
	}
	if len(keys) == 0 {
		return fmt.Errorf("%s: there is no such key: remove it", whole)
	}
	return fmt.Errorf("%s: there is no such key: use one of %s", whole, strings.Join(keys, ", "))
}

// keysOf lists the keys of a block, or none if the block is not known.
func keysOf(t reflect.Type, block []string) (keys []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for field := range fields(t) {
		name, options, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		switch {
		case options == "squash":
			keys = append(keys, keysOf(field.Type, block)...)
		case name == "":
		case len(block) == 0:
			keys = append(keys, name)
		default:
			if at, _, _ := strings.Cut(block[0], "["); at == name {
				return keysOf(field.Type, block[1:])
			}
		}
	}
	return keys
}

func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// nearest returns the candidate that differs least from a word, by at most a third of its letters, or "" if there is
// none.
func nearest(word string, from []string) (near string) {
	least := len(word)/3 + 1
	for _, candidate := range from {
		if d := distance(word, candidate); d < least {
			least, near = d, candidate
		}
	}
	return near
}

// distance returns the number of letters to insert, remove or replace to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0]++
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal, row[j+1] = row[j+1], min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// withOthers joins decoding errors with the validation errors of the values that could be read, so that all are
// reported at once. It omits validation errors of keys whose values could not be read.
func (c *Config) withOthers(err error) error {
	var failed undecoded
	if !errors.As(err, &failed) {
		return err
	}
	errs := []error{err}
	for _, other := range c.errors() {
		if other == nil {
			continue
		}
		key, _, _ := strings.Cut(other.Error(), ": ")
		if !slices.ContainsFunc(failed, func(f error) bool { return strings.HasPrefix(f.Error(), key) }) {
			errs = append(errs, other)
		}
	}
	return errors.Join(errs...)
}
