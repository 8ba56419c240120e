// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.yaml.in/yaml/v3"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics"
)

const schemaFile = "../config.schema.json"

// TestConfigSchema checks config.schema.json against the Config struct, the README, and what the component accepts.
func TestConfigSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(schemaFile)
	require.NoError(t, err)
	metric := schema.Properties["metrics"].Items2020.Ref
	dimension := metric.Properties["dimensions"].Items2020.AnyOf[1].Ref

	t.Run("keys", func(t *testing.T) {
		for object, configured := range map[*jsonschema.Schema]any{
			schema:    attrtometrics.Config{},
			metric:    attrtometrics.Metric{},
			dimension: attrtometrics.Dimension{},
		} {
			require.ElementsMatch(t, keysOf(configured), keys(object))
		}
	})
	t.Run("defaults", func(t *testing.T) {
		cfg := reflect.ValueOf(attrtometrics.NewFactory().CreateDefaultConfig()).Elem()
		for i, key := range keysOf(cfg.Interface()) {
			field := cfg.Field(i)
			if field.IsZero() {
				require.Nil(t, schema.Properties[key].Default, key)
				continue
			}
			want := fmt.Sprint(defaultOf(schema, key))
			if d, ok := field.Interface().(time.Duration); ok {
				got, err := time.ParseDuration(want)
				require.NoError(t, err, key)
				require.Equal(t, d, got, key)
				continue
			}
			require.Equal(t, fmt.Sprint(field.Interface()), want, key)
		}
	})
	t.Run("README", func(t *testing.T) { testReadmeTables(t, schema, metric) })
	t.Run("accepts", func(t *testing.T) {
		for name, config := range validConfigs(t) {
			assert.NoError(t, schema.Validate(parse(t, config)), name)
			assert.NoError(t, load(t, config), name)
		}
	})
	t.Run("refuses", func(t *testing.T) {
		for _, config := range []string{
			`{flush_intervall: 1s}`, `{flush_interval: 5}`, `{flush_interval: soon}`, `{expiration: -1s}`,
			`{series_limit: 0}`, `{series_limit: many}`, `{error_mode: drop}`, `{metrics: {name: a, attribute: n}}`,
			`{metrics: [{attribute: n}]}`, `{metrics: [{name: a}]}`, `{metrics: [{name: 1a, attribute: n}]}`,
			`{metrics: [{name: a, attribute: n, value: "1"}]}`, `{metrics: [{name: a, attribute: n, dimension: x}]}`,
			`{metrics: [{name: a, attribute: n, source: link}]}`, `{metrics: [{name: a, attribute: n, type: summary}]}`,
			`{metrics: [{name: a, attribute: n, aggregation: sum}]}`,
			`{metrics: [{name: a, attribute: n, aggregation: [max, max]}]}`,
			`{metrics: [{name: a, attribute: n, timestamp: now}]}`,
			`{metrics: [{name: a, attribute: n, type: sum, temporality: both}]}`,
			`{metrics: [{name: a, attribute: n, type: histogram, buckets: []}]}`,
			`{metrics: [{name: a, attribute: n, type: exponential_histogram, max_size: 1}]}`,
			`{metrics: [{name: a, attribute: n, resource_attributes: [""]}]}`,
			`{metrics: [{name: a, attribute: n, series_limit: -1}]}`,
			`{metrics: [{name: a, attribute: n, dimensions: [{nam: x}]}]}`,
			`{metrics: [{name: a, attribute: n, dimensions: [{name: x, source: link}]}]}`,
			`{metrics: [{name: a, attribute: n, dimensions: [{name: x, default: [1]}]}]}`,
		} {
			assert.Error(t, schema.Validate(parse(t, config)), config)
			assert.Error(t, load(t, config), config)
		}
	})
}

func keys(object *jsonschema.Schema) []string {
	var names []string
	for name := range object.Properties {
		names = append(names, name)
	}
	return names
}

// keysOf returns the keys of the struct's exported fields, which precede the unexported ones.
func keysOf(configured any) []string {
	var names []string
	for field := range reflect.TypeOf(configured).Fields() {
		if field.IsExported() {
			names = append(names, field.Tag.Get("mapstructure"))
		}
	}
	return names
}

// defaultOf returns the default of a key, or nil if it has none.
func defaultOf(object *jsonschema.Schema, key string) any {
	if object.Properties[key].Default == nil {
		return nil
	}
	return *object.Properties[key].Default
}

var tableRow = regexp.MustCompile("(?m)^\\| (`.*?`) \\| [^|]* \\|([^|]*)\\| ")

// testReadmeTables checks the keys in the tables of the README, and the defaults that the tables show as code.
func testReadmeTables(t *testing.T, component, metric *jsonschema.Schema) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, text, found := strings.Cut(string(readme), "## Configure metrics\n")
	require.True(t, found)
	ofComponent, ofMetric, found := strings.Cut(text, "Keys of each entry in `metrics`:")
	require.True(t, found)
	for table, object := range map[string]*jsonschema.Schema{ofComponent: component, ofMetric: metric} {
		var listed []string
		for _, row := range tableRow.FindAllStringSubmatch(table, -1) {
			for name := range strings.SplitSeq(row[1], ", ") {
				name = strings.Trim(name, "`")
				listed = append(listed, name)
				require.Contains(t, object.Properties, name)
				if want := strings.TrimSpace(row[2]); strings.HasPrefix(want, "`") {
					require.Equal(t, strings.Trim(want, "`"), fmt.Sprint(defaultOf(object, name)), name)
				}
			}
		}
		require.ElementsMatch(t, listed, keys(object))
	}
}

// validConfigs returns the configurations of the golden cases and the README, and one with the keys that those lack.
func validConfigs(t *testing.T) map[string]string {
	configs := map[string]string{"more": `{expiration: 0, scrape_interval: 1m30s, series_limit: 5, error_mode: silent,
		metrics: [{name: a/b-c, attribute: n, length: true, timestamp: flush, aggregation: [], series_limit: 7}]}`}
	files, err := filepath.Glob("../testdata/*/config.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		configs[file] = string(text)
	}
	for file, section := range map[string]string{"connector.yaml": "connectors", "processor.yaml": "processors"} {
		var whole map[string]map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(readmeBlock(t, file)), &whole))
		text, err := yaml.Marshal(whole[section]["attrtometrics"])
		require.NoError(t, err)
		configs[file] = string(text)
	}
	return configs
}

func parse(t *testing.T, config string) map[string]any {
	var raw map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(config), &raw), config)
	return raw
}

// load returns the error with which the component rejects a configuration, if any.
func load(t *testing.T, config string) error {
	cfg := attrtometrics.NewFactory().CreateDefaultConfig()
	if err := confmap.NewFromStringMap(parse(t, config)).Unmarshal(cfg); err != nil {
		return err
	}
	return confmap.Validate(cfg)
}
