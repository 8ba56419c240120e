// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
)

func TestOneReceiverForAllSignalsOfAnID(t *testing.T) {
	f := NewFactory()
	assert.Equal(t, "videoanonymizer", f.Type().String())
	for _, level := range []component.StabilityLevel{f.TracesStability(), f.LogsStability(), f.MetricsStability()} {
		assert.Equal(t, component.StabilityLevelAlpha, level)
	}
	set := receivertest.NewNopSettings(metadata.Type)
	config := func() *Config {
		cfg := f.CreateDefaultConfig().(*Config)
		cfg.Watch.Include = []string{t.TempDir() + "/*"}
		cfg.Output.Directory = t.TempDir()
		return cfg
	}
	cfg := config()
	next := consumertest.NewNop()
	traces, err := f.CreateTraces(t.Context(), set, cfg, next)
	require.NoError(t, err)
	logs, err := f.CreateLogs(t.Context(), set, cfg, next)
	require.NoError(t, err)
	metrics, err := f.CreateMetrics(t.Context(), set, cfg, next)
	require.NoError(t, err)
	assert.Same(t, traces, logs)
	assert.Same(t, traces, metrics)

	other, err := f.CreateTraces(t.Context(), set, config(), next)
	require.NoError(t, err)
	assert.NotSame(t, traces, other, "another ID has another configuration")
	require.NoError(t, other.Shutdown(t.Context()))

	// The collector stops each signal; a reload then makes new ones.
	require.NoError(t, traces.Shutdown(t.Context()))
	require.NoError(t, logs.Shutdown(t.Context()))
	require.NoError(t, metrics.Shutdown(t.Context()))
	again, err := f.CreateTraces(t.Context(), set, cfg, next)
	require.NoError(t, err)
	assert.NotSame(t, traces, again, "a receiver that was stopped is not used again")
	require.NoError(t, again.Shutdown(t.Context()))
}

func TestAllSignalsLearnWhyTheReceiverDidNotStart(t *testing.T) {
	f := NewFactory()
	set := receivertest.NewNopSettings(metadata.Type)
	cfg := f.CreateDefaultConfig().(*Config)
	cfg.Watch.Include = []string{t.TempDir() + "/*"}
	cfg.Output.Directory = t.TempDir()
	cfg.Tools.FFmpeg = "/no/such/ffmpeg"
	traces, err := f.CreateTraces(t.Context(), set, cfg, consumertest.NewNop())
	require.NoError(t, err)
	logs, err := f.CreateLogs(t.Context(), set, cfg, consumertest.NewNop())
	require.NoError(t, err)
	host := componenttest.NewNopHost()
	first := traces.Start(t.Context(), host)
	require.ErrorContains(t, first, "/no/such/ffmpeg")
	assert.Same(t, first, logs.Start(t.Context(), host), "it is tried once")
	require.NoError(t, traces.Shutdown(t.Context()))
	require.NoError(t, logs.Shutdown(t.Context()))
}
