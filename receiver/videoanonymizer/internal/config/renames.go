// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/confmap"
)

// rename is a key whose name changed. Configurations with the former name work for one more version.
type rename struct {
	// from and to are full keys, such as output::crf.
	from, to string
	// until is the first version that no longer accepts the former name.
	until string
}

// renames lists the former names that are still accepted. When adding one, list it in the CHANGELOG as a deprecation.
// When releasing the version in until, remove it.
var renames []rename

// rewrite replaces former names with current ones, and returns a warning for each. A key given under both names is an
// error, because it would be unclear which one counts.
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

// remove removes a key, and the blocks that it leaves empty.
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

// nest returns the key's blocks, with the value inside.
func nest(key string, value any) map[string]any {
	name, rest, more := strings.Cut(key, confmap.KeyDelimiter)
	if more {
		value = nest(rest, value)
	}
	return map[string]any{name: value}
}

// Warnings returns which keys of the configuration have former names, and what they are called now.
func (c *Config) Warnings() []string { return c.warnings }
