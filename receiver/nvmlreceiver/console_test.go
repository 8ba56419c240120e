// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/golden"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
)

// gpuConsole is a console to which the receiver attaches its GPUs.
type gpuConsole struct {
	component.StartFunc
	component.ShutdownFunc
	read     func() []consoleapi.GPU
	detached bool
}

func (c *gpuConsole) AttachGPUs(_ component.ID, read func() []consoleapi.GPU) (detach func()) {
	c.read = read
	return func() { c.detached = true }
}

type consoleHost map[component.ID]component.Component

func (h consoleHost) GetExtensions() map[component.ID]component.Component { return h }

func TestConsoleShowsGPUs(t *testing.T) {
	id := component.MustNewID("anonymizer_console")
	config := defaultConfig()
	config.Console = &id
	config.Controller.CollectionInterval, config.Controller.InitialDelay = time.Hour, 0 // one scrape
	p := newPair(t, config, eightGPUs()...)
	console := &gpuConsole{}
	require.NoError(t, p.metrics.Start(t.Context(), consoleHost{id: console}))
	require.Eventually(t, func() bool { return len(console.read()) == 8 }, 10*time.Second, time.Millisecond)
	assert.Equal(t, 7, console.read()[7].Index)
	p.lib.Emit(driver.Event{}) // wakes the watcher, so that it exits before goleak checks
	require.NoError(t, p.metrics.Shutdown(t.Context()))
	assert.True(t, console.detached)
	p.lib.Emit(driver.Event{})
	require.Eventually(t, func() bool { return !p.lib.IsOpen() }, 10*time.Second, time.Millisecond)
}

func TestShownOfScrape(t *testing.T) {
	metrics, err := golden.ReadMetrics(filepath.Join("testdata", "eight_gpus", "expected.yaml"))
	require.NoError(t, err)
	s := &shown{lasts: time.Hour}
	assert.Empty(t, s.read())
	s.update(metrics)
	gpus := s.read()
	require.Len(t, gpus, 8)
	assert.Equal(t, consoleapi.GPU{Name: "NVIDIA H100 80GB HBM3", Utilization: 0.45, MemoryUsed: 10 << 30,
		MemoryTotal: 80 << 30, Temperature: gpus[0].Temperature, Power: gpus[0].Power}, gpus[0])
	assert.InDelta(t, 45, gpus[0].Temperature, 30)
	assert.InDelta(t, 400, gpus[0].Power, 350)
	s.lasts = 0
	assert.Empty(t, s.read(), "it is too old")
}

func TestConsoleMissing(t *testing.T) {
	id := component.MustNewID("anonymizer_console")
	config := defaultConfig()
	config.Console = &id
	p := newPair(t, config, eightGPUs()...)
	err := p.metrics.Start(t.Context(), consoleHost{})
	require.ErrorContains(t, err, `console: there is no extension "anonymizer_console"`)
	require.NoError(t, p.metrics.Shutdown(t.Context()))
	require.NoError(t, p.logs.Shutdown(t.Context()))
}
