// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/confmap"
)

// rename is a key that changed its name: configurations with the former one work for one more version.
type rename struct {
	// from and to are whole keys, such as output::crf.
	from, to string
	// until is the first version that no longer reads the former one.
	until string
}

// renames lists those that are still read. Whoever adds one adds it to the CHANGELOG as a deprecation; whoever releases
// the version in until removes it.
var renames []rename

// rewrite gives keys their names of today, and returns a warning for each former one. A key under both names is an
// error: nobody could tell which counts.
func rewrite(conf *confmap.Conf, renames []rename) (warnings []string, err error) {
	var errs []error
	for _, r := range renames {
		if !conf.IsSet(r.from) {
			continue
		}
		if conf.IsSet(r.to) {
			errs = append(errs, fmt.Errorf("%s is the former name of %s, and both are set: remove %s", r.from, r.to, r.from))
			continue
		}
		value := conf.Get(r.from)
		remove(conf, r.from)
		errs = append(errs, conf.Merge(confmap.NewFromStringMap(nest(r.to, value))))
		warnings = append(warnings, fmt.Sprintf("%s is now %s: use that name, since %s no longer reads the former one",
			r.from, r.to, r.until))
	}
	return warnings, errors.Join(errs...)
}

// remove removes a key, and the blocks that have no other.
func remove(conf *confmap.Conf, key string) {
	conf.Delete(key)
	end := strings.LastIndex(key, confmap.KeyDelimiter)
	if end < 0 {
		return
	}
	if block, ok := conf.Get(key[:end]).(map[string]any); !ok || len(block) == 0 {
		remove(conf, key[:end])
	}
}

// nest returns the blocks in which the key has the value.
func nest(key string, value any) map[string]any {
	name, rest, more := strings.Cut(key, confmap.KeyDelimiter)
	if more {
		value = nest(rest, value)
	}
	return map[string]any{name: value}
}

// Warnings say which keys of the configuration have former names, and what they are called now.
func (c *Config) Warnings() []string { return c.warnings }
