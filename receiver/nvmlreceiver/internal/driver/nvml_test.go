// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && cgo

package driver_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver/drivertest/shim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func build(t *testing.T, macros ...string) func(dir string) {
	return func(dir string) { shim.Build(t, filepath.Join(dir, shim.Name), macros...) }
}

func open(t *testing.T) (driver.Library, driver.Device) {
	t.Helper()
	lib := driver.New("")
	require.NoError(t, lib.Open())
	device, err := lib.Device(1)
	require.NoError(t, err)
	return lib, device
}

// value returns the error of a call, or its value if there is none, so that an assertion fits on one line.
func value[T any](v T, err error) any {
	if err != nil {
		return err
	}
	return v
}

func TestIdentity(t *testing.T) {
	shim.Run(t, build(t), func(t *testing.T, _ string) {
		lib, d := open(t)
		assert.Equal(t, "570.86.15", value(lib.DriverVersion()))
		assert.Equal(t, "12.8", value(lib.CUDAVersion()))
		assert.Equal(t, 2, value(lib.DeviceCount()))
		assert.Equal(t, "GPU-1", value(d.UUID()))
		assert.Equal(t, "Shim GPU", value(d.Name()))
		assert.Equal(t, "serial-1", value(d.Serial()))
		assert.Equal(t, "vbios", value(d.VBIOSVersion()))
		assert.Equal(t, "0001:3b:01.0", value(d.PCIAddress()))
		require.NoError(t, lib.Close())
	})
}

func TestMemory(t *testing.T) {
	shim.Run(t, build(t), func(t *testing.T, _ string) {
		lib, d := open(t)
		assert.Equal(t, driver.Memory{Total: 1000, Used: 300, Free: 650, Reserved: 50, HasReserved: true},
			value(d.Memory()))
		assert.Equal(t, driver.Memory{Total: 256, Used: 56, Free: 200}, value(d.BAR1()))
		require.NoError(t, lib.Close())
	})
}

func TestUtilization(t *testing.T) {
	shim.Run(t, build(t), func(t *testing.T, _ string) {
		lib, d := open(t)
		for engine, want := range map[driver.Engine][]uint32{
			driver.EngineGeneral: {10, 30}, driver.EngineMemory: {20, 40},
			driver.EngineEncoder: {30, 50}, driver.EngineDecoder: {40, 60},
		} {
			var got []uint32
			require.NoError(t, d.UtilizationSamples(engine, time.Now(), func(at time.Time, percent uint32) {
				assert.WithinDuration(t, time.Now(), at, time.Minute)
				got = append(got, percent)
			}))
			assert.Equal(t, want, got)
		}
		assert.Equal(t, driver.NotSupported, d.UtilizationSamples(driver.EngineJPEG, time.Now(), nil))
		for engine, want := range map[driver.Engine]uint32{
			driver.EngineGeneral: 11, driver.EngineMemory: 22, driver.EngineEncoder: 61,
			driver.EngineDecoder: 62, driver.EngineJPEG: 63, driver.EngineOFA: 64,
		} {
			assert.Equal(t, want, value(d.Utilization(engine)))
		}
		require.NoError(t, lib.Close())
	})
}

func TestSensorsAndCounters(t *testing.T) {
	shim.Run(t, build(t), func(t *testing.T, _ string) {
		lib, d := open(t)
		assert.Equal(t, int32(45), value(d.Temperature()))
		assert.Equal(t, uint32(91), value(d.TemperatureLimit(driver.LimitSlowdown)))
		assert.Equal(t, uint32(90), value(d.TemperatureLimit(driver.LimitShutdown)))
		assert.Equal(t, uint32(93), value(d.TemperatureLimit(driver.LimitGPUMax)))
		assert.Equal(t, uint32(92), value(d.TemperatureLimit(driver.LimitMemoryMax)))
		assert.Equal(t, uint32(100_001), value(d.Power()))
		assert.Equal(t, uint32(200_000), value(d.PowerLimit(driver.PowerEnforced)))
		assert.Equal(t, uint32(210_000), value(d.PowerLimit(driver.PowerDefault)))
		assert.Equal(t, uint32(90_000), value(d.PowerLimit(driver.PowerMin)))
		assert.Equal(t, uint32(250_000), value(d.PowerLimit(driver.PowerMax)))
		assert.Equal(t, uint64(7000), value(d.Energy()))
		assert.Equal(t, 2, value(d.FanCount()))
		assert.Equal(t, uint32(31), value(d.FanSpeed(1)))
		assert.Equal(t, uint32(1234), value(d.FanRPM()))
		assert.Equal(t, uint32(1002), value(d.Clock(driver.ClockMemory)))
		assert.Equal(t, uint32(2003), value(d.MaxClock(driver.ClockVideo)))
		assert.Equal(t, driver.ThrottleSWPowerCap, value(d.ThrottleReasons()))
		assert.Equal(t, 2, value(d.PerformanceState()))
		generation, width, err := d.PCIeLink()
		assert.Equal(t, []any{4, 16, nil}, []any{generation, width, err})
		assert.Equal(t, uint64(10*1024), value(d.PCIeThroughput(driver.Transmit)))
		assert.Equal(t, uint64(11*1024), value(d.PCIeThroughput(driver.Receive)))
		assert.Equal(t, uint64(3), value(d.PCIeReplays()))
		assert.Equal(t, uint64(7), value(d.ECCErrors(false)))
		assert.Equal(t, uint64(1), value(d.ECCErrors(true)))
		assert.Equal(t, driver.RemappedRows{Corrected: 2, Uncorrected: 1, Pending: true}, value(d.RemappedRows()))
		require.NoError(t, lib.Close())
	})
}

func TestFields(t *testing.T) {
	shim.Run(t, build(t), func(t *testing.T, _ string) {
		lib, d := open(t)
		fields := []driver.Field{
			{ID: driver.FieldMemoryTemperature}, {ID: driver.FieldPCIeTxBytes}, {ID: driver.FieldThrottleHWThermal},
			{ID: driver.FieldNVLinkTxKiB, Scope: driver.ScopeAllLinks},
		}
		require.NoError(t, d.Fields(fields))
		assert.Equal(t, uint64(66), fields[0].Value)
		assert.Equal(t, uint64(197_000), fields[1].Value)
		assert.Equal(t, driver.NotSupported, fields[2].Err)
		assert.Equal(t, uint64(138_000), fields[3].Value)
		require.NoError(t, lib.Close())
	})
}

func TestProcesses(t *testing.T) {
	shim.Run(t, build(t), func(t *testing.T, _ string) {
		lib, d := open(t)
		assert.Equal(t, []driver.Process{{PID: 4000, Memory: 1 << 20, HasMemory: true}, {PID: 5000, Memory: 1<<64 - 1}},
			value(d.Processes(nil)))
		samples, err := d.ProcessUtilization(time.Now(), nil)
		require.NoError(t, err)
		require.Len(t, samples, 1)
		s := samples[0]
		assert.Equal(t, []uint32{4000, 50, 40, 30, 20}, []uint32{s.PID, s.General, s.Memory, s.Encoder, s.Decoder})
		shim.Control(t, "fewer")
		assert.Equal(t, driver.NotReady, value(d.ProcessUtilization(time.Now(), nil)), "go-nvml panics here")
		require.NoError(t, lib.Close())
	})
}

func TestMIG(t *testing.T) {
	shim.Run(t, build(t), func(t *testing.T, _ string) {
		lib, d := open(t)
		shim.Control(t, "mig")
		assert.Equal(t, false, value(d.MIGEnabled()))
		first, err := lib.Device(0)
		require.NoError(t, err)
		assert.Equal(t, true, value(first.MIGEnabled()))
		instances, err := first.MIGDevices(nil)
		require.NoError(t, err)
		require.Len(t, instances, 1)
		assert.Equal(t, "MIG-2", value(instances[0].UUID()))
		assert.Equal(t, driver.MIGProfile{GPUInstance: 9, GPUSlices: 1, ComputeSlices: 1, MemoryMiB: 9856},
			value(instances[0].MIGProfile()))
		require.NoError(t, lib.Close())
	})
}

// TestMissingFunctions calls functions that the library lacks. Without the lookups, the first such call would end the
// process with exit status 127.
func TestMissingFunctions(t *testing.T) {
	shim.Run(t, build(t, "OLD_DRIVER"), func(t *testing.T, _ string) {
		lib, d := open(t)
		assert.Equal(t, driver.Memory{Total: 1000, Used: 300, Free: 700}, value(d.Memory()), "the older function")
		assert.Equal(t, int32(44), value(d.Temperature()), "the older function")
		assert.Equal(t, 1, value(d.FanCount()))
		assert.Equal(t, uint32(35), value(d.FanSpeed(0)), "the older function")
		assert.Equal(t, uint32(11), value(d.Utilization(driver.EngineGeneral)))
		assert.Equal(t, uint32(1000), value(d.Clock(driver.ClockGraphics)))
		assert.Equal(t, uint32(100_001), value(d.Power()))
		_, _, linkErr := d.PCIeLink()
		for name, got := range map[string]any{
			"CUDAVersion":        value(lib.CUDAVersion()),
			"Serial":             value(d.Serial()),
			"VBIOSVersion":       value(d.VBIOSVersion()),
			"PCIAddress":         value(d.PCIAddress()),
			"BAR1":               value(d.BAR1()),
			"UtilizationSamples": d.UtilizationSamples(driver.EngineGeneral, time.Now(), nil),
			"encoder":            value(d.Utilization(driver.EngineEncoder)),
			"decoder":            value(d.Utilization(driver.EngineDecoder)),
			"jpeg":               value(d.Utilization(driver.EngineJPEG)),
			"ofa":                value(d.Utilization(driver.EngineOFA)),
			"TemperatureLimit":   value(d.TemperatureLimit(driver.LimitSlowdown)),
			"enforced":           value(d.PowerLimit(driver.PowerEnforced)),
			"default":            value(d.PowerLimit(driver.PowerDefault)),
			"min":                value(d.PowerLimit(driver.PowerMin)),
			"Energy":             value(d.Energy()),
			"FanSpeed":           value(d.FanSpeed(1)),
			"FanRPM":             value(d.FanRPM()),
			"MaxClock":           value(d.MaxClock(driver.ClockSM)),
			"ThrottleReasons":    value(d.ThrottleReasons()),
			"PerformanceState":   value(d.PerformanceState()),
			"PCIeLink":           linkErr,
			"PCIeThroughput":     value(d.PCIeThroughput(driver.Transmit)),
			"PCIeReplays":        value(d.PCIeReplays()),
			"ECCErrors":          value(d.ECCErrors(true)),
			"RemappedRows":       value(d.RemappedRows()),
			"Fields":             d.Fields([]driver.Field{{ID: 1}}),
			"Processes":          value(d.Processes(nil)),
			"ProcessUtilization": value(d.ProcessUtilization(time.Now(), nil)),
			"MIGEnabled":         value(d.MIGEnabled()),
			"MIGDevices":         value(d.MIGDevices(nil)),
			"MIGProfile":         value(d.MIGProfile()),
			"NewEventSet":        value(lib.NewEventSet()),
		} {
			assert.Equal(t, driver.FunctionNotFound, got, name)
		}
		require.NoError(t, lib.Close())
	})
}

func TestLibraryNotFound(t *testing.T) {
	shim.Run(t, func(string) {}, func(t *testing.T, dir string) {
		lib := driver.New(filepath.Join(dir, shim.Name))
		err := lib.Open()
		require.ErrorIs(t, err, driver.LibraryNotFound)
		assert.ErrorContains(t, err, "No such file")

		build(t)(dir)
		require.NoError(t, lib.Open(), "the library was installed")
		require.NoError(t, lib.Close())
		other := filepath.Join(dir, "other.so")
		shim.Build(t, other)
		assert.ErrorContains(t, driver.New(other).Open(), "cannot load")
	})
}

func TestNotAnNVMLLibrary(t *testing.T) {
	shim.Run(t, build(t, "NOT_NVML"), func(t *testing.T, _ string) {
		err := driver.New("").Open()
		require.ErrorIs(t, err, driver.LibraryNotFound)
		assert.ErrorContains(t, err, "is not an NVIDIA management library")
	})
}

func TestErrorCodes(t *testing.T) {
	shim.Run(t, build(t), func(t *testing.T, _ string) {
		shim.Control(t, "init=9")
		require.Equal(t, driver.DriverNotLoaded, driver.New("").Open())
		shim.Control(t, "")
		lib, d := open(t)
		shim.Control(t, "lost=1")
		assert.Equal(t, driver.GPULost, value(d.Power()))
		_, err := lib.Device(1)
		assert.Equal(t, driver.GPULost, err)
		assert.Equal(t, driver.GPULost, value(d.Memory()), "the older function is not tried")
		shim.Control(t, "fail=nvmlDeviceGetPowerUsage")
		assert.Equal(t, driver.NoPermission, value(d.Power()))
	})
}

// TestLibraryUpgradedWhileLoaded replaces the library file: the functions stay bound to the library that was loaded
// first.
func TestLibraryUpgradedWhileLoaded(t *testing.T) {
	shim.Run(t, build(t, `DRIVER_VERSION="1"`), func(t *testing.T, dir string) {
		lib, d := open(t)
		require.Equal(t, uint32(100_001), value(d.Power()))
		require.NoError(t, lib.Close())
		require.NoError(t, os.Remove(filepath.Join(dir, shim.Name)))
		build(t, `DRIVER_VERSION="2"`)(dir)
		lib, d = open(t)
		assert.Equal(t, "1", value(lib.DriverVersion()), "neither replaced nor crashed")
		assert.Equal(t, uint32(100_001), value(d.Power()))
		shim.Control(t, "init=18")
		assert.Equal(t, driver.VersionMismatch, driver.New("").Open(),
			"the old library's answer to the new kernel driver")
	})
}

func TestEvents(t *testing.T) {
	shim.Run(t, build(t), func(t *testing.T, _ string) {
		lib, d := open(t)
		set, err := lib.NewEventSet()
		require.NoError(t, err)
		require.NoError(t, set.Register(d, driver.EventsCritical), "only supported kinds are registered")
		assert.Equal(t, driver.NotSupported, set.Register(d, driver.EventPoison))
		_, err = set.Wait(time.Millisecond)
		assert.Equal(t, driver.Timeout, err)
		shim.Control(t, "xid=79")
		event, err := set.Wait(time.Minute)
		require.NoError(t, err)
		assert.Same(t, d, event.Device)
		assert.Equal(t, driver.Event{
			Device: d, Kind: driver.EventXID, Data: 79,
			GPUInstance: driver.NoInstance, ComputeInstance: driver.NoInstance,
		}, event)
		require.NoError(t, set.Close())
		require.NoError(t, lib.Close())
	})
}
