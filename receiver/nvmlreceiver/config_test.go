// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
)

func TestConfig(t *testing.T) {
	raw, err := confmaptest.LoadConf(filepath.Join("testdata", "config", "config.yaml"))
	require.NoError(t, err)
	load := func(id string) *Config {
		sub, err := raw.Sub(id)
		require.NoError(t, err)
		return unmarshal(t, sub)
	}

	t.Run("default", func(t *testing.T) {
		config := load("nvml")
		assert.Equal(t, defaultConfig(), config)
		assert.Equal(t, 10*time.Second, config.Controller.CollectionInterval)
		assert.Equal(t, 5*time.Second, config.Controller.Timeout)
		assert.Equal(t, MissingDriverIgnore, config.OnMissingDriver)
		require.NoError(t, confmap.Validate(config))
	})
	t.Run("all set", func(t *testing.T) {
		config := load("nvml/all_set")
		want := defaultConfig()
		want.Controller.CollectionInterval = 30 * time.Second
		want.Controller.InitialDelay = 2 * time.Second
		want.Controller.Timeout = 4 * time.Second
		want.OnMissingDriver, want.ProcessCommandLine = MissingDriverFail, true
		want.LibraryPath = "/run/nvidia/driver/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"
		assert.True(t, config.Builder.Metrics.HwFanSpeed.Enabled)
		assert.False(t, config.Builder.Metrics.HwGpuIo.Enabled)
		assert.True(t, config.Builder.ResourceAttributes.HwSerialNumber.Enabled)
		assert.False(t, config.Events.NvmlGpuMigChanged.Enabled)
		config.Builder, config.Events = want.Builder, want.Events
		assert.Equal(t, want, config)
		require.NoError(t, confmap.Validate(config))
	})
	t.Run("all errors at once", func(t *testing.T) {
		err := confmap.Validate(load("nvml/wrong"))
		require.ErrorContains(t, err, `"collection_interval": requires positive value`)
		require.ErrorContains(t, err, `"timeout": requires positive value`)
		require.ErrorContains(t, err, `on_missing_driver: "panic" is not valid; use "ignore" or "fail"`)
	})
}
