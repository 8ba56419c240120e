// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/golden"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatatest/pmetrictest"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/collector/scraper/scrapererror"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver/drivertest"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/metadata"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var testTime = time.Unix(1_750_000_000, 0).UTC()

// harness runs a scraper on a fake driver with a clock that only advance moves.
type harness struct {
	*scraper
	lib    *drivertest.Library
	logs   *observer.ObservedLogs
	status *statusHost
	member *member
	// release ends calls to the fake driver that hang on it.
	release chan struct{}
	clock   atomic.Int64 // nanoseconds after testTime
}

func (h *harness) now() time.Time { return testTime.Add(time.Duration(h.clock.Load())) }

// advance moves the clock.
func (h *harness) advance(d time.Duration) { h.clock.Add(int64(d)) }

func newHarness(t testing.TB, config *Config, gpus ...*drivertest.GPU) *harness {
	t.Helper()
	lib := drivertest.NewLibrary(gpus...)
	h := newHarnessOn(t, config, lib)
	h.lib = lib
	for _, gpu := range gpus {
		h.session.watched[gpu.ID] = true
	}
	return h
}

func newHarnessOn(t testing.TB, config *Config, lib driver.Library) *harness {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	core = zapcore.NewSamplerWithOptions(core, 10*time.Second, 10, 100) // as the collector does by default
	settings := receivertest.NewNopSettings(metadata.Type)
	settings.Logger = zap.New(core)
	h := &harness{logs: logs, status: &statusHost{}, release: make(chan struct{})}
	session := newSession(lib, settings.Logger)
	session.now, session.hostName = h.now, "gpu-host"
	h.scraper = newScraper(config, settings, session)
	h.proc = procFS{root: filepath.Join("testdata", "proc"), ofHost: true}
	h.member = &member{session: session, config: config, forget: func() {}, host: h.status, started: true}
	session.members = []*member{h.member} // like start, but without the watcher
	t.Cleanup(func() {
		close(h.release)
		h.member.shutdown()
	})
	return h
}

func (h *harness) mustScrape(t testing.TB) pmetric.Metrics {
	t.Helper()
	metrics, err := h.scrape(context.Background())
	if err != nil {
		require.True(t, scrapererror.IsPartialScrapeError(err), "%v", err)
	}
	return metrics
}

// statusHost records the component statuses reported to it.
type statusHost struct {
	mu     sync.Mutex
	events []*componentstatus.Event
}

func (*statusHost) GetExtensions() map[component.ID]component.Component { return nil }

func (h *statusHost) Report(event *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, event)
}

// last returns the latest status, or StatusNone.
func (h *statusHost) last() componentstatus.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) == 0 {
		return componentstatus.StatusNone
	}
	return h.events[len(h.events)-1].Status()
}

func defaultConfig() *Config { return createDefaultConfig().(*Config) }

func loadConfig(t testing.TB, path string) *Config {
	t.Helper()
	raw, err := confmaptest.LoadConf(path)
	require.NoError(t, err)
	return unmarshal(t, raw)
}

func unmarshal(t testing.TB, raw *confmap.Conf) *Config {
	t.Helper()
	config := defaultConfig()
	require.NoError(t, raw.Unmarshal(config))
	return config
}

func eightGPUs() []*drivertest.GPU {
	var gpus []*drivertest.GPU
	for i := range 8 {
		gpus = append(gpus, drivertest.NewGPU(i, testTime))
	}
	return gpus
}

// goldenGPUs are the GPUs of each case in testdata.
var goldenGPUs = map[string]func() []*drivertest.GPU{
	"no_gpu":             func() []*drivertest.GPU { return nil },
	"one_gpu_everything": func() []*drivertest.GPU { return []*drivertest.GPU{drivertest.NewGPU(0, testTime)} },
	"eight_gpus":         eightGPUs,
	"mig":                migGPU,
	"partial_support":    consumerGPU,
	"old_driver":         oldDriverGPU,
	"hot_and_failing":    hotAndFailingGPUs,
}

func migGPU() []*drivertest.GPU {
	g := drivertest.NewGPU(0, testTime)
	g.MIG = true
	g.Samples, g.Latest = nil, nil // drivers report no utilization of a partitioned GPU
	for i, profile := range []driver.MIGProfile{
		{GPUInstance: 1, GPUSlices: 3, ComputeSlices: 3, MemoryMiB: 40192},
		{GPUInstance: 9, GPUSlices: 1, ComputeSlices: 1, MemoryMiB: 9856},
		{GPUInstance: 10, ComputeInstance: 1, GPUSlices: 2, ComputeSlices: 1, MemoryMiB: 19968},
	} {
		total := profile.MemoryMiB << 20
		g.Instances = append(g.Instances, &drivertest.GPU{
			ID: fmt.Sprintf("MIG-00000000-0000-0000-0000-%012d", i), Profile: profile,
			Mem:   driver.Memory{Total: total, Used: 1 << 30, Free: total - 1<<30, HasReserved: true},
			Procs: []driver.Process{{PID: uint32(6000 + i), Memory: 1 << 30, HasMemory: true}},
		})
	}
	return []*drivertest.GPU{g}
}

// consumerGPU has no ECC, MIG, NVLink, or memory temperature sensor.
func consumerGPU() []*drivertest.GPU {
	g := drivertest.NewGPU(0, testTime)
	g.Product = "NVIDIA GeForce RTX 4090"
	g.FieldValues = nil
	g.CelsiusLimits = map[driver.TemperatureLimit]uint32{driver.LimitSlowdown: 90}
	g.Errs = map[string]error{
		"ECCErrors": driver.NotSupported, "RemappedRows": driver.NotSupported, "MIGEnabled": driver.NotSupported,
		"Serial": driver.NotSupported, "Fields": driver.NotSupported,
	}
	return []*drivertest.GPU{g}
}

// oldDriverGPU has a driver that lacks most functions, like one from 2016.
func oldDriverGPU() []*drivertest.GPU {
	g := drivertest.NewGPU(0, testTime)
	g.Mem.HasReserved, g.Mem.Reserved = false, 0
	g.Latest = map[driver.Engine]uint32{
		driver.EngineGeneral: 33, driver.EngineEncoder: 4, driver.EngineDecoder: 5,
	}
	g.Errs = map[string]error{}
	for _, call := range []string{
		"UtilizationSamples", "Energy", "Fields", "MIGEnabled", "RemappedRows", "ThrottleReasons", "PCIAddress",
	} {
		g.Errs[call] = driver.FunctionNotFound
	}
	return []*drivertest.GPU{g}
}

func hotAndFailingGPUs() []*drivertest.GPU {
	hot := drivertest.NewGPU(0, testTime)
	hot.Throttle = driver.ThrottleHWThermal | driver.ThrottleHWSlowdown
	failing := drivertest.NewGPU(1, testTime)
	failing.Rows.Failed = true
	lost := drivertest.NewGPU(2, testTime)
	lost.Errs = map[string]error{"Power": driver.GPULost}
	return []*drivertest.GPU{hot, failing, lost}
}

// TestScrapeGolden compares a scrape with testdata/<case>/expected.yaml.
func TestScrapeGolden(t *testing.T) {
	for name, gpus := range goldenGPUs {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", name)
			h := newHarness(t, loadConfig(t, filepath.Join(dir, "config.yaml")), gpus()...)
			actual := h.mustScrape(t)
			path := filepath.Join(dir, "expected.yaml")
			if *update {
				require.NoError(t, os.WriteFile(path, nil, 0o600))
				require.NoError(t, golden.WriteMetrics(t, path, actual, golden.SkipMetricTimestampNormalization()))
				return
			}
			expected, err := golden.ReadMetrics(path)
			require.NoError(t, err)
			require.NoError(t, pmetrictest.CompareMetrics(expected, actual, pmetrictest.IgnoreResourceMetricsOrder(),
				pmetrictest.IgnoreMetricsOrder(), pmetrictest.IgnoreMetricDataPointsOrder()))
		})
	}
}

// point returns the first point of a metric that has a value and these attributes, given as key, value, key, value.
func point(metrics pmetric.Metrics, name string, attributes ...string) (pmetric.NumberDataPoint, bool) {
	for _, dp := range points(metrics, name, attributes...) {
		if !dp.Flags().NoRecordedValue() {
			return dp, true
		}
	}
	return pmetric.NumberDataPoint{}, false
}

// points returns all points of a metric that have these attributes, including those that end a series.
func points(metrics pmetric.Metrics, name string, attributes ...string) []pmetric.NumberDataPoint {
	var found []pmetric.NumberDataPoint
	for _, rm := range metrics.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				if m.Name() != name {
					continue
				}
				for _, dp := range dataPoints(m).All() {
					if hasAttributes(dp.Attributes(), attributes) {
						found = append(found, dp)
					}
				}
			}
		}
	}
	return found
}

func hasAttributes(m pcommon.Map, attributes []string) bool {
	for i := 0; i < len(attributes); i += 2 {
		if value, ok := m.Get(attributes[i]); !ok || value.AsString() != attributes[i+1] {
			return false
		}
	}
	return true
}
