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

const defaultPath = "libnvidia-ml.so.1"

// New returns the NVML library at path, or the one that the dynamic linker finds if path is empty. A process can open
// only one library.
func New(path string) Library {
	if path == "" {
		path = defaultPath
	}
	return &library{path: path}
}

// loaded is the only NVML library of the process. go-nvml relies on lazy binding of its C functions, and a bound
// function stays bound, so the library can be neither unloaded nor replaced: it stays loaded permanently.
var loaded struct {
	sync.Mutex
	path    string
	nvml    nvml.Interface
	symbols map[string]bool
}

type library struct {
	path    string
	nvml    nvml.Interface
	symbols map[string]bool // whether the library contains each of symbolNames

	mu      sync.Mutex
	devices map[nvml.Device]*device // by handle, to identify the device of an event
}

// symbolNames lists every C function that this package may call. Calling one that the library lacks makes the dynamic
// linker end the process with exit status 127, which recover cannot prevent. If a function has several versions,
// go-nvml calls the newest.
var symbolNames = []string{
	"nvmlInit", "nvmlShutdown", "nvmlSystemGetDriverVersion", "nvmlSystemGetCudaDriverVersion_v2",
	"nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex",
	"nvmlEventSetCreate", "nvmlEventSetWait", "nvmlEventSetFree", "nvmlDeviceRegisterEvents",
	"nvmlDeviceGetSupportedEventTypes",
	"nvmlDeviceGetUUID", "nvmlDeviceGetName", "nvmlDeviceGetSerial", "nvmlDeviceGetVbiosVersion",
	"nvmlDeviceGetPciInfo",
	"nvmlDeviceGetMemoryInfo", "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetBAR1MemoryInfo",
	"nvmlDeviceGetSamples", "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetEncoderUtilization",
	"nvmlDeviceGetDecoderUtilization",
	"nvmlDeviceGetJpgUtilization", "nvmlDeviceGetOfaUtilization",
	"nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperatureThreshold",
	"nvmlDeviceGetPowerUsage", "nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementDefaultLimit",
	"nvmlDeviceGetPowerManagementLimitConstraints", "nvmlDeviceGetTotalEnergyConsumption",
	"nvmlDeviceGetNumFans", "nvmlDeviceGetFanSpeed", "nvmlDeviceGetFanSpeed_v2", "nvmlDeviceGetFanSpeedRPM",
	"nvmlDeviceGetClockInfo", "nvmlDeviceGetMaxClockInfo",
	"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons",
	"nvmlDeviceGetPerformanceState",
	"nvmlDeviceGetCurrPcieLinkGeneration", "nvmlDeviceGetCurrPcieLinkWidth", "nvmlDeviceGetPcieThroughput",
	"nvmlDeviceGetPcieReplayCounter", "nvmlDeviceGetTotalEccErrors", "nvmlDeviceGetRemappedRows",
	"nvmlDeviceGetFieldValues",
	"nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses",
	"nvmlDeviceGetMPSComputeRunningProcesses",
	"nvmlDeviceGetProcessUtilization",
	"nvmlDeviceGetMigMode", "nvmlDeviceGetMaxMigDeviceCount", "nvmlDeviceGetMigDeviceHandleByIndex",
	"nvmlDeviceGetAttributes",
	"nvmlDeviceGetGpuInstanceId", "nvmlDeviceGetComputeInstanceId",
}

// exactSymbols lists those of symbolNames that go-nvml calls by exactly this name, even if newer versions exist.
var exactSymbols = map[string]bool{
	"nvmlSystemGetCudaDriverVersion_v2": true,
	"nvmlDeviceGetMemoryInfo":           true,
	"nvmlDeviceGetMemoryInfo_v2":        true,
	"nvmlDeviceGetFanSpeed":             true,
	"nvmlDeviceGetFanSpeed_v2":          true,
}

func (l *library) Open() error {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.nvml == nil {
		symbols, err := lookUpSymbols(l.path)
		if err != nil {
			return err
		}
		loaded.path, loaded.symbols = l.path, symbols
		loaded.nvml = nvml.New(nvml.WithLibraryPath(l.path))
	}
	if loaded.path != l.path {
		return fmt.Errorf("%w: this process has already loaded %s and cannot load %s as well; "+
			"use the same library_path in every nvml receiver", InUse, loaded.path, l.path)
	}
	if ret := loaded.nvml.Init(); ret != nvml.SUCCESS {
		return toError(ret)
	}
	l.nvml, l.symbols = loaded.nvml, loaded.symbols
	l.mu.Lock()
	l.devices = map[nvml.Device]*device{}
	l.mu.Unlock()
	return nil
}

// lookUpSymbols reports which of symbolNames the library at path contains, without calling any of them. It leaves the
// library loaded.
func lookUpSymbols(path string) (map[string]bool, error) {
	lib := dl.New(path, dl.RTLD_LAZY|dl.RTLD_GLOBAL)
	if err := lib.Open(); err != nil {
		return nil, fmt.Errorf("%w: %w", LibraryNotFound, err)
	}
	symbols := make(map[string]bool, len(symbolNames))
	for _, name := range symbolNames {
		found := lib.Lookup(name) == nil
		if !exactSymbols[name] {
			found = found || lib.Lookup(name+"_v2") == nil || lib.Lookup(name+"_v3") == nil
		}
		symbols[name] = found
	}
	for _, name := range []string{"nvmlInit", "nvmlShutdown", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"} {
		if !symbols[name] {
			_ = lib.Close()
			return nil, fmt.Errorf("%w: %s lacks %s and is not an NVIDIA management library",
				LibraryNotFound, path, name)
		}
	}
	return symbols, nil
}

func (l *library) Close() error {
	loaded.Lock()
	defer loaded.Unlock()
	// The last user's Shutdown would also unload the library, but the handle that lookUpSymbols left open keeps it loaded.
	return toError(l.nvml.Shutdown())
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
		return nil, toError(ret)
	}
	d := &device{lib: l, handle: handle}
	l.mu.Lock()
	l.devices[handle] = d
	l.mu.Unlock()
	return d, nil
}

// call calls f, or returns FunctionNotFound if the library lacks the C function behind it.
func call[T any](l *library, symbol string, f func() (T, nvml.Return)) (T, error) {
	if !l.symbols[symbol] {
		var zero T
		return zero, FunctionNotFound
	}
	value, ret := f()
	return value, toError(ret)
}

func toError(ret nvml.Return) error {
	if ret == nvml.SUCCESS {
		return nil
	}
	return Code(ret)
}
