// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package drivertest provides a scripted fake of the NVIDIA driver, for tests without a GPU.
package drivertest

import (
	"fmt"
	"sync"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
)

// Library is a fake driver.Library. Once it is in use, set its exported fields only in Change.
type Library struct {
	// OpenErr, if set, is the result of Open.
	OpenErr error
	// Hang, if set, blocks Open and the calls of every GPU until it is closed.
	Hang chan struct{}
	GPUs []*GPU
	// WaitErr, if set, is the result of waiting for an event.
	WaitErr error
	// Version is the version of the driver.
	Version string

	mu     sync.Mutex
	open   bool
	opens  int
	calls  map[string]int
	events chan driver.Event
}

// NewLibrary returns a fake driver with these GPUs.
func NewLibrary(gpus ...*GPU) *Library {
	l := &Library{GPUs: gpus, Version: "570.86.15", calls: map[string]int{}, events: make(chan driver.Event, 16)}
	for _, g := range gpus {
		g.lib = l
		for _, instance := range g.Instances {
			instance.lib = l
		}
	}
	return l
}

// Change calls f while no driver call reads the script.
func (l *Library) Change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// Opens returns how often the driver was opened.
func (l *Library) Opens() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.opens
}

// IsOpen reports whether the driver is open.
func (l *Library) IsOpen() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// Calls returns how often the method with this name was called, summed over all GPUs.
func (l *Library) Calls(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[name]
}

// Emit delivers an event.
func (l *Library) Emit(event driver.Event) { l.events <- event }

// Open fails or hangs as set in OpenErr and Hang.
func (l *Library) Open() error {
	l.mu.Lock()
	hang := l.Hang
	l.mu.Unlock()
	if hang != nil {
		<-hang
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls["Open"]++
	if l.OpenErr != nil {
		return l.OpenErr
	}
	l.open = true
	l.opens++
	return nil
}

// Close never fails.
func (l *Library) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = false
	return nil
}

// DriverVersion returns Version.
func (l *Library) DriverVersion() (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Version, nil
}

// CUDAVersion always returns the same version.
func (l *Library) CUDAVersion() (string, error) { return "12.8", nil }

// DeviceCount returns the number of GPUs.
func (l *Library) DeviceCount() (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.GPUs), nil
}

// Device returns a GPU. It fails if the GPU has an error for "Device".
func (l *Library) Device(index int) (driver.Device, error) {
	g := l.GPUs[index]
	return g, g.call("Device")
}

// NewEventSet returns a set that delivers the events passed to Emit.
func (l *Library) NewEventSet() (driver.EventSet, error) { return &eventSet{lib: l}, nil }

type eventSet struct{ lib *Library }

func (e *eventSet) Register(device driver.Device, _ driver.EventKind) error {
	return device.(*GPU).call("Register")
}

func (e *eventSet) Wait(timeout time.Duration) (driver.Event, error) {
	e.lib.mu.Lock()
	err := e.lib.WaitErr
	e.lib.mu.Unlock()
	if err != nil {
		return driver.Event{}, err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case event := <-e.lib.events:
		return event, nil
	case <-timer.C:
		return driver.Event{}, driver.Timeout
	}
}

func (e *eventSet) Close() error { return nil }

// GPU is a fake driver.Device, either a whole GPU or a MIG instance, that returns the values of its fields.
type GPU struct {
	ID, Product, SerialNumber, VBIOS, PCI string

	Mem, BAR                  driver.Memory
	Samples                   map[driver.Engine][]Sample
	Latest                    map[driver.Engine]uint32
	Celsius                   int32
	CelsiusLimits             map[driver.TemperatureLimit]uint32
	Milliwatts                uint32
	MilliwattLimits           map[driver.PowerLimit]uint32
	Millijoules               uint64
	Fans                      []uint32
	RPM                       uint32
	MHz, MaxMHz               map[driver.Clock]uint32
	Throttle                  uint64
	PState                    int
	LinkGeneration, LinkWidth int
	TxRate, RxRate            uint64
	Replays                   uint64
	Corrected, Uncorrected    uint64
	Rows                      driver.RemappedRows
	// FieldValues are keyed by ID, or by ID<<32|scope for fields with a scope. Missing fields are not supported.
	FieldValues map[uint64]uint64
	Procs       []driver.Process
	ProcSamples []driver.ProcessSample
	MIG         bool
	Instances   []*GPU
	Profile     driver.MIGProfile

	// Errs contains errors by method name; the key "*" applies to every method.
	Errs map[string]error
	// Hang contains channels by method name; a call blocks until its channel is closed.
	Hang map[string]chan struct{}

	lib *Library
}

// Sample is one utilization sample of an engine.
type Sample struct {
	At      time.Time
	Percent uint32
}

// NewGPU returns a GPU on which everything works. Its values depend on its index.
func NewGPU(index int, now time.Time) *GPU {
	i := uint64(index)
	u := uint32(index)
	const gib = 1 << 30
	samples := func(base uint32) []Sample {
		return []Sample{
			{now.Add(-time.Hour), 100}, {now.Add(-2 * time.Second), base}, {now.Add(-time.Second), base + 10},
		}
	}
	return &GPU{
		ID:           fmt.Sprintf("GPU-00000000-0000-0000-0000-%012d", index),
		Product:      "NVIDIA H100 80GB HBM3",
		SerialNumber: fmt.Sprintf("165%07d", index),
		VBIOS:        "96.00.74.00.01",
		PCI:          fmt.Sprintf("0000:%02x:00.0", 0x18+index),
		Mem: driver.Memory{
			Total: 80 * gib, Used: (10 + i) * gib, Free: (69 - i) * gib, Reserved: gib, HasReserved: true,
		},
		BAR: driver.Memory{Total: 128 * gib, Used: gib, Free: 127 * gib},
		Samples: map[driver.Engine][]Sample{
			driver.EngineGeneral: samples(40 + u), driver.EngineMemory: samples(30 + u),
			driver.EngineEncoder: samples(u), driver.EngineDecoder: samples(20 + u),
		},
		Latest:  map[driver.Engine]uint32{driver.EngineJPEG: 5, driver.EngineOFA: 6},
		Celsius: int32(50 + index),
		CelsiusLimits: map[driver.TemperatureLimit]uint32{
			driver.LimitSlowdown: 87, driver.LimitShutdown: 92, driver.LimitGPUMax: 85, driver.LimitMemoryMax: 95,
		},
		Milliwatts: 345_678 + u,
		MilliwattLimits: map[driver.PowerLimit]uint32{
			driver.PowerEnforced: 700_000, driver.PowerDefault: 700_000,
			driver.PowerMin: 200_000, driver.PowerMax: 700_000,
		},
		Millijoules: 123_456_789 + i,
		Fans:        []uint32{40 + u, 45 + u},
		RPM:         2100 + u,
		MHz: map[driver.Clock]uint32{
			driver.ClockGraphics: 1755, driver.ClockSM: 1755, driver.ClockMemory: 2619, driver.ClockVideo: 1545,
		},
		MaxMHz: map[driver.Clock]uint32{
			driver.ClockGraphics: 1980, driver.ClockSM: 1980, driver.ClockMemory: 2619, driver.ClockVideo: 1545,
		},
		Throttle:       driver.ThrottleSWPowerCap,
		PState:         0,
		LinkGeneration: 5, LinkWidth: 16,
		TxRate: 1 << 20, RxRate: 2 << 20,
		Replays: 3, Corrected: 7, Uncorrected: 1,
		Rows: driver.RemappedRows{Corrected: 2, Uncorrected: 1},
		FieldValues: map[uint64]uint64{
			driver.FieldThrottlePower:                          1_500_000_000,
			driver.FieldThrottleThermal:                        0,
			driver.FieldThrottleSyncBoost:                      0,
			driver.FieldThrottleBoardLimit:                     0,
			driver.FieldThrottleLowUtilization:                 2_000_000_000,
			driver.FieldThrottleReliability:                    0,
			driver.FieldThrottleSWThermal:                      250_000_000,
			driver.FieldThrottleHWThermal:                      0,
			driver.FieldThrottleHWPowerBrake:                   0,
			driver.FieldMemoryTemperature:                      60 + i,
			driver.FieldPCIeTxBytes:                            1000 + i,
			driver.FieldPCIeRxBytes:                            2000 + i,
			driver.FieldNVLinkTxKiB<<32 | driver.ScopeAllLinks: 3 + i,
			driver.FieldNVLinkRxKiB<<32 | driver.ScopeAllLinks: 4 + i,
		},
		Procs: []driver.Process{{PID: 4000 + u, Memory: 2 * gib, HasMemory: true}, {PID: 5000 + u}},
		ProcSamples: []driver.ProcessSample{
			{PID: 4000 + u, At: now.Add(-time.Second), General: 30, Memory: 20, Encoder: 10, Decoder: 5},
		},
	}
}

// call counts a call, blocks if the script makes it hang, and returns its scripted error.
func (g *GPU) call(name string) error {
	g.lib.mu.Lock()
	g.lib.calls[name]++
	hang := g.Hang[name]
	if hang == nil {
		hang = g.lib.Hang
	}
	err := g.Errs[name]
	if err == nil {
		err = g.Errs["*"]
	}
	g.lib.mu.Unlock()
	if hang != nil {
		<-hang
	}
	return err
}

// read returns a value of g, unless the call is scripted to fail.
func read[T any](g *GPU, name string, value func() T) (T, error) {
	err := g.call(name)
	g.lib.mu.Lock()
	defer g.lib.mu.Unlock()
	if err != nil {
		var zero T
		return zero, err
	}
	return value(), nil
}

// lookup is like read, but for a value in a map: a missing key is not supported.
func lookup[K comparable, V any](g *GPU, name string, m map[K]V, key K) (V, error) {
	if err := g.call(name); err != nil {
		var zero V
		return zero, err
	}
	g.lib.mu.Lock()
	defer g.lib.mu.Unlock()
	value, ok := m[key]
	if !ok {
		return value, driver.NotSupported
	}
	return value, nil
}

// The methods of driver.Device follow.

func (g *GPU) UUID() (string, error) { return read(g, "UUID", func() string { return g.ID }) }

func (g *GPU) Name() (string, error) { return read(g, "Name", func() string { return g.Product }) }

func (g *GPU) Serial() (string, error) {
	return read(g, "Serial", func() string { return g.SerialNumber })
}

func (g *GPU) VBIOSVersion() (string, error) {
	return read(g, "VBIOSVersion", func() string { return g.VBIOS })
}

func (g *GPU) PCIAddress() (string, error) {
	return read(g, "PCIAddress", func() string { return g.PCI })
}

func (g *GPU) Memory() (driver.Memory, error) {
	return read(g, "Memory", func() driver.Memory { return g.Mem })
}

func (g *GPU) BAR1() (driver.Memory, error) {
	return read(g, "BAR1", func() driver.Memory { return g.BAR })
}

func (g *GPU) UtilizationSamples(engine driver.Engine, _ time.Time, yield func(time.Time, uint32)) error {
	samples, err := lookup(g, "UtilizationSamples", g.Samples, engine)
	for _, s := range samples {
		yield(s.At, s.Percent)
	}
	return err
}

func (g *GPU) Utilization(engine driver.Engine) (uint32, error) {
	return lookup(g, "Utilization", g.Latest, engine)
}

func (g *GPU) Temperature() (int32, error) {
	return read(g, "Temperature", func() int32 { return g.Celsius })
}

func (g *GPU) TemperatureLimit(limit driver.TemperatureLimit) (uint32, error) {
	return lookup(g, "TemperatureLimit", g.CelsiusLimits, limit)
}

func (g *GPU) Power() (uint32, error) { return read(g, "Power", func() uint32 { return g.Milliwatts }) }

func (g *GPU) PowerLimit(limit driver.PowerLimit) (uint32, error) {
	return lookup(g, "PowerLimit", g.MilliwattLimits, limit)
}

func (g *GPU) Energy() (uint64, error) {
	return read(g, "Energy", func() uint64 { return g.Millijoules })
}

func (g *GPU) FanCount() (int, error) { return read(g, "FanCount", func() int { return len(g.Fans) }) }

func (g *GPU) FanSpeed(fan int) (uint32, error) {
	return read(g, "FanSpeed", func() uint32 { return g.Fans[fan] })
}

func (g *GPU) FanRPM() (uint32, error) { return read(g, "FanRPM", func() uint32 { return g.RPM }) }

func (g *GPU) Clock(clock driver.Clock) (uint32, error) {
	return lookup(g, "Clock", g.MHz, clock)
}

func (g *GPU) MaxClock(clock driver.Clock) (uint32, error) {
	return lookup(g, "MaxClock", g.MaxMHz, clock)
}

func (g *GPU) ThrottleReasons() (uint64, error) {
	return read(g, "ThrottleReasons", func() uint64 { return g.Throttle })
}

func (g *GPU) PerformanceState() (int, error) {
	return read(g, "PerformanceState", func() int { return g.PState })
}

func (g *GPU) PCIeLink() (int, int, error) {
	generation, err := read(g, "PCIeLink", func() int { return g.LinkGeneration })
	return generation, g.LinkWidth, err
}

func (g *GPU) PCIeThroughput(direction driver.Direction) (uint64, error) {
	return read(g, "PCIeThroughput", func() uint64 {
		if direction == driver.Receive {
			return g.RxRate
		}
		return g.TxRate
	})
}

func (g *GPU) PCIeReplays() (uint64, error) {
	return read(g, "PCIeReplays", func() uint64 { return g.Replays })
}

func (g *GPU) ECCErrors(uncorrected bool) (uint64, error) {
	return read(g, "ECCErrors", func() uint64 {
		if uncorrected {
			return g.Uncorrected
		}
		return g.Corrected
	})
}

func (g *GPU) RemappedRows() (driver.RemappedRows, error) {
	return read(g, "RemappedRows", func() driver.RemappedRows { return g.Rows })
}

func (g *GPU) Fields(fields []driver.Field) error {
	if err := g.call("Fields"); err != nil {
		return err
	}
	g.lib.mu.Lock()
	defer g.lib.mu.Unlock()
	for i := range fields {
		value, ok := g.FieldValues[uint64(fields[i].ID)<<32|uint64(fields[i].Scope)]
		if !ok && fields[i].Scope == 0 {
			value, ok = g.FieldValues[uint64(fields[i].ID)]
		}
		fields[i].Value, fields[i].Err = value, nil
		if !ok {
			fields[i].Err = driver.NotSupported
		}
	}
	return nil
}

func (g *GPU) Processes(buf []driver.Process) ([]driver.Process, error) {
	return read(g, "Processes", func() []driver.Process { return append(buf, g.Procs...) })
}

func (g *GPU) ProcessUtilization(_ time.Time, buf []driver.ProcessSample) ([]driver.ProcessSample, error) {
	return read(g, "ProcessUtilization", func() []driver.ProcessSample { return append(buf, g.ProcSamples...) })
}

func (g *GPU) MIGEnabled() (bool, error) { return read(g, "MIGEnabled", func() bool { return g.MIG }) }

func (g *GPU) MIGDevices(buf []driver.Device) ([]driver.Device, error) {
	return read(g, "MIGDevices", func() []driver.Device {
		for _, instance := range g.Instances {
			instance.lib = g.lib
			buf = append(buf, instance)
		}
		return buf
	})
}

func (g *GPU) MIGProfile() (driver.MIGProfile, error) {
	return read(g, "MIGProfile", func() driver.MIGProfile { return g.Profile })
}
