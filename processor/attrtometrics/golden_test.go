// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package attrtometrics

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.yaml.in/yaml/v3"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/processor/attrtometrics/internal/metadata"
)

var update = flag.Bool("update", false, "rewrite output.yaml of the golden cases; review the diff before committing it")

// goldenStart is when the golden cases start. Their spans end between then and the first flush.
var goldenStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestGolden runs each directory of testdata: a connector configured by config.yaml consumes input.yaml (or
// input_1.yaml, input_2.yaml, and so on, with a flush after each) and must send output.yaml, which lists the flushes in
// order.
func TestGolden(t *testing.T) {
	configs, err := filepath.Glob("testdata/*/config.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, configs)
	for _, config := range configs {
		dir := filepath.Dir(config)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			conf, err := confmaptest.LoadConf(config)
			require.NoError(t, err)
			cfg := createDefaultConfig().(*Config)
			require.NoError(t, conf.Unmarshal(cfg))
			require.NoError(t, confmap.Validate(cfg))

			got := runGolden(t, cfg, dir)
			output := filepath.Join(dir, "output.yaml")
			if *update {
				require.NoError(t, os.WriteFile(output, got, 0o600))
			}
			want, err := os.ReadFile(output)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
		})
	}
}

// runGolden returns one YAML document per flush.
func runGolden(t *testing.T, cfg *Config, dir string) []byte {
	inputs, err := filepath.Glob(filepath.Join(dir, "input*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, inputs)

	now := goldenStart
	sink := &consumertest.MetricsSink{}
	set := connectortest.NewNopSettings(metadata.Type)
	set.BuildInfo.Version = "v1"
	interval := cfg.FlushInterval
	cfg.FlushInterval = time.Hour // only the test flushes
	c, err := newConnector(set, cfg, sink, func() time.Time { return now })
	require.NoError(t, err)
	require.NoError(t, c.Start(context.Background(), componenttest.NewNopHost()))
	for _, input := range inputs {
		now = now.Add(interval)
		require.NoError(t, c.ConsumeTraces(context.Background(), readTraces(t, input)))
		require.NoError(t, c.engine.Flush(context.Background()))
	}
	require.NoError(t, c.Shutdown(context.Background()))

	var all bytes.Buffer
	for _, md := range sink.AllMetrics() {
		asJSON, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(md)
		require.NoError(t, err)
		var document yaml.Node // keeps the order of the keys
		require.NoError(t, yaml.Unmarshal(asJSON, &document))
		asBlock(&document)
		asYAML, err := yaml.Marshal(&document)
		require.NoError(t, err)
		all.WriteString("---\n")
		all.Write(asYAML)
	}
	return all.Bytes()
}

// readTraces decodes OTLP/JSON written as YAML.
func readTraces(t *testing.T, path string) ptrace.Traces {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var document any
	require.NoError(t, yaml.Unmarshal(text, &document), path)
	asJSON, err := json.Marshal(document)
	require.NoError(t, err, path)
	td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(asJSON)
	require.NoError(t, err, path)
	return td
}

// asBlock converts JSON style to YAML block style, except for keys whose values are more readable on one line.
func asBlock(n *yaml.Node) {
	n.Style = 0
	for i, child := range n.Content {
		asBlock(child)
		if n.Kind == yaml.MappingNode && i%2 == 1 {
			switch n.Content[i-1].Value {
			case "resource", "scope", "attributes", "exemplars",
				"bucketCounts", "explicitBounds", "positive", "negative":
				child.Style = yaml.FlowStyle
			}
		}
	}
}
