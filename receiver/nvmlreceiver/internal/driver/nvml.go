// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && cgo

package driver

import (
	"fmt"
	"sync"

	"github.com/NVIDIA/go-nvml/pkg/dl"
	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// Supported says whether this binary can reach the driver.
const Supported = true

const defaultPath = "libnvidia-ml.so.1"

// New returns NVML from the library at path; empty means the one that the dynamic linker finds. A process can load only one.
func New(path string) Library {
	if path == "" {
		path = defaultPath
	}
	return &library{path: path}
}

// loaded is the one NVML that a process can have. go-nvml leaves its C functions to lazy binding, and a function that is
// bound stays bound: the library can neither be unloaded nor exchanged afterwards, so that it stays loaded for good here.
var loaded struct {
	sync.Mutex
	path    string
	nvml    nvml.Interface
	symbols map[string]bool
}

type library struct {
	path    string
	nvml    nvml.Interface
	symbols map[string]bool // of the functions in lookedUp, those that the library has

	mu      sync.Mutex
	devices map[nvml.Device]*device // by handle, for the events
}

// lookedUp lists every C function that this file may come to call. A call of one that the library lacks ends the process with
// exit status 127 in the dynamic linker, where recover does not reach. Of versioned functions go-nvml takes the newest.
var lookedUp = []string{
	"nvmlInit", "nvmlShutdown", "nvmlSystemGetDriverVersion", "nvmlSystemGetCudaDriverVersion_v2",
	"nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex",
	"nvmlEventSetCreate", "nvmlEventSetWait", "nvmlEventSetFree", "nvmlDeviceRegisterEvents", "nvmlDeviceGetSupportedEventTypes",
	"nvmlDeviceGetUUID", "nvmlDeviceGetName", "nvmlDeviceGetSerial", "nvmlDeviceGetVbiosVersion", "nvmlDeviceGetPciInfo",
	"nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetBAR1MemoryInfo",
	"nvmlDeviceGetSamples", "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetEncoderUtilization", "nvmlDeviceGetDecoderUtilization",
	"nvmlDeviceGetJpgUtilization", "nvmlDeviceGetOfaUtilization",
	"nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperatureThreshold",
	"nvmlDeviceGetPowerUsage", "nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementDefaultLimit",
	"nvmlDeviceGetPowerManagementLimitConstraints", "nvmlDeviceGetTotalEnergyConsumption",
	"nvmlDeviceGetNumFans", "nvmlDeviceGetFanSpeed", "nvmlDeviceGetFanSpeed_v2", "nvmlDeviceGetFanSpeedRPM",
	"nvmlDeviceGetClockInfo", "nvmlDeviceGetMaxClockInfo",
	"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetPerformanceState",
	"nvmlDeviceGetCurrPcieLinkGeneration", "nvmlDeviceGetCurrPcieLinkWidth", "nvmlDeviceGetPcieThroughput",
	"nvmlDeviceGetPcieReplayCounter", "nvmlDeviceGetTotalEccErrors", "nvmlDeviceGetRemappedRows", "nvmlDeviceGetFieldValues",
	"nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses", "nvmlDeviceGetMPSComputeRunningProcesses",
	"nvmlDeviceGetProcessUtilization",
	"nvmlDeviceGetMigMode", "nvmlDeviceGetMaxMigDeviceCount", "nvmlDeviceGetMigDeviceHandleByIndex", "nvmlDeviceGetAttributes",
	"nvmlDeviceGetGpuInstanceId", "nvmlDeviceGetComputeInstanceId",
}

// exact lists the functions of lookedUp that go-nvml calls under this very name, whatever versions there are besides.
var exact = map[string]bool{
	"nvmlSystemGetCudaDriverVersion_v2": true, "nvmlDeviceGetMemoryInfo": true, "nvmlDeviceGetMemoryInfo_v2": true,
	"nvmlDeviceGetFanSpeed": true, "nvmlDeviceGetFanSpeed_v2": true,
}

func (l *library) Open() error {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.nvml == nil {
		symbols, err := probe(l.path)
		if err != nil {
			return err
		}
		loaded.path, loaded.symbols = l.path, symbols
		loaded.nvml = nvml.New(nvml.WithLibraryPath(l.path))
	}
	if loaded.path != l.path {
		return fmt.Errorf("%w: this process has loaded %s already and cannot load %s too; name the same library in every receiver",
			InUse, loaded.path, l.path)
	}
	if ret := loaded.nvml.Init(); ret != nvml.SUCCESS {
		return code(ret)
	}
	l.nvml, l.symbols = loaded.nvml, loaded.symbols
	l.mu.Lock()
	l.devices = map[nvml.Device]*device{}
	l.mu.Unlock()
	return nil
}

// probe looks up what the library at path has, without a call into it.
func probe(path string) (map[string]bool, error) {
	lib := dl.New(path, dl.RTLD_LAZY|dl.RTLD_GLOBAL)
	if err := lib.Open(); err != nil {
		return nil, fmt.Errorf("%w: %w", LibraryNotFound, err)
	}
	symbols := make(map[string]bool, len(lookedUp))
	for _, name := range lookedUp {
		found := lib.Lookup(name) == nil
		if !exact[name] {
			found = found || lib.Lookup(name+"_v2") == nil || lib.Lookup(name+"_v3") == nil
		}
		symbols[name] = found
	}
	for _, name := range []string{"nvmlInit", "nvmlShutdown", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"} {
		if !symbols[name] {
			_ = lib.Close()
			return nil, fmt.Errorf("%w: %s has no %s and is no NVIDIA management library", LibraryNotFound, path, name)
		}
	}
	return symbols, nil
}

func (l *library) Close() error {
	loaded.Lock()
	defer loaded.Unlock()
	// Shutdown would also unload the library with the last user; the handle that probe left open keeps it.
	return code(l.nvml.Shutdown())
}

func (l *library) DriverVersion() (string, error) {
	return call(l, "nvmlSystemGetDriverVersion", l.nvml.SystemGetDriverVersion)
}

func (l *library) CUDAVersion() (string, error) {
	version, err := call(l, "nvmlSystemGetCudaDriverVersion_v2", l.nvml.SystemGetCudaDriverVersion_v2)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d.%d", version/1000, version%1000/10), nil
}

func (l *library) DeviceCount() (int, error) {
	return call(l, "nvmlDeviceGetCount", l.nvml.DeviceGetCount)
}

func (l *library) Device(index int) (Device, error) {
	handle, ret := l.nvml.DeviceGetHandleByIndex(index)
	if ret != nvml.SUCCESS {
		return nil, code(ret)
	}
	d := &device{lib: l, handle: handle}
	l.mu.Lock()
	l.devices[handle] = d
	l.mu.Unlock()
	return d, nil
}

// call calls f, unless the library lacks the C function behind it.
func call[T any](l *library, symbol string, f func() (T, nvml.Return)) (T, error) {
	if !l.symbols[symbol] {
		var zero T
		return zero, FunctionNotFound
	}
	value, ret := f()
	return value, code(ret)
}

func code(ret nvml.Return) error {
	if ret == nvml.SUCCESS {
		return nil
	}
	return Code(ret)
}
