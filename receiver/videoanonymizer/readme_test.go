// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
)

// TestReadmeListsEveryKey compares the tables in README.md with Config: the keys, and defaults that are given
// literally.
func TestReadmeListsEveryKey(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	listed := map[string]string{}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]+ \\| ([^|]+) \\|")
	for _, row := range row.FindAllStringSubmatch(string(readme), -1) {
		listed[row[1]] = row[2]
	}
	defaults := map[string]reflect.Value{}
	collectKeys("", reflect.ValueOf(createDefaultConfig()).Elem(), defaults)
	for key, value := range defaults {
		said, ok := listed[key]
		if !assert.True(t, ok, "README.md does not list %s", key) {
			continue
		}
		switch value.Kind() {
		case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Struct: // described in words
		case reflect.String:
			if value.Len() > 0 {
				assert.Equal(t, "`"+value.String()+"`", said, key)
			}
		default:
			rendered := fmt.Sprint(value.Interface())
			rendered = regexp.MustCompile(`^(\d+[hm])0[ms].*$`).ReplaceAllString(rendered, "$1") // README.md says 1m for 1m0s
			assert.Equal(t, "`"+rendered+"`", said, key)
		}
	}
	for key := range listed {
		assert.Contains(t, defaults, key, "README.md lists a key that is none")
	}
}

// collectKeys maps each key to its default. It descends into blocks, but not into metrics, which documentation.md
// lists.
func collectKeys(prefix string, block reflect.Value, into map[string]reflect.Value) {
	for i := range block.NumField() {
		field := block.Type().Field(i)
		key := prefix + field.Tag.Get("mapstructure")
		switch {
		case !field.IsExported():
		case field.Type == reflect.TypeFor[*share.Config]():
			shared := share.DefaultConfig()
			collectKeys(key+"::", reflect.ValueOf(&shared).Elem(), into)
		case prefix == "share::" && field.Type.Kind() == reflect.Pointer, key == "share::embedded::cluster":
			collectKeys(key+"::", reflect.New(field.Type.Elem()).Elem(), into)
		case field.Type.Kind() == reflect.Struct && !slices.Contains([]string{"Metrics", "InputSize", "TLS"}, field.Name):
			collectKeys(key+"::", block.Field(i), into)
		default:
			into[key] = block.Field(i)
		}
	}
}
