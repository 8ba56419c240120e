// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && cgo

package driver

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

type device struct {
	lib    *library
	handle nvml.Device
	fields []nvml.FieldValue // scratch space for Fields
}

func (d *device) UUID() (string, error) {
	return call(d.lib, "nvmlDeviceGetUUID", d.handle.GetUUID)
}

func (d *device) Name() (string, error) {
	return call(d.lib, "nvmlDeviceGetName", d.handle.GetName)
}

func (d *device) Serial() (string, error) {
	return call(d.lib, "nvmlDeviceGetSerial", d.handle.GetSerial)
}

func (d *device) VBIOSVersion() (string, error) {
	return call(d.lib, "nvmlDeviceGetVbiosVersion", d.handle.GetVbiosVersion)
}

func (d *device) PCIAddress() (string, error) {
	pci, err := call(d.lib, "nvmlDeviceGetPciInfo", d.handle.GetPciInfo)
	if err != nil {
		return "", err
	}
	// Older versions of the call leave the bus ID empty, but all of them set the numbers. NVML omits the PCI function,
	// which is 0.
	return fmt.Sprintf("%04x:%02x:%02x.0", pci.Domain, pci.Bus, pci.Device), nil
}

func (d *device) Memory() (Memory, error) {
	v2, err := call(d.lib, "nvmlDeviceGetMemoryInfo_v2", d.handle.GetMemoryInfo_v2)
	if err == nil {
		return Memory{Total: v2.Total, Used: v2.Used, Free: v2.Free, Reserved: v2.Reserved, HasReserved: true}, nil
	}
	if !CodeOf(err).Unavailable() && CodeOf(err) != InvalidArgument {
		return Memory{}, err
	}
	v1, err := call(d.lib, "nvmlDeviceGetMemoryInfo", d.handle.GetMemoryInfo)
	return Memory{Total: v1.Total, Used: v1.Used, Free: v1.Free}, err
}

func (d *device) BAR1() (Memory, error) {
	bar1, err := call(d.lib, "nvmlDeviceGetBAR1MemoryInfo", d.handle.GetBAR1MemoryInfo)
	return Memory{Total: bar1.Bar1Total, Used: bar1.Bar1Used, Free: bar1.Bar1Free}, err
}

var samplingTypes = map[Engine]nvml.SamplingType{
	EngineGeneral: nvml.GPU_UTILIZATION_SAMPLES, EngineMemory: nvml.MEMORY_UTILIZATION_SAMPLES,
	EngineEncoder: nvml.ENC_UTILIZATION_SAMPLES, EngineDecoder: nvml.DEC_UTILIZATION_SAMPLES,
	EngineJPEG: nvml.JPG_UTILIZATION_SAMPLES, EngineOFA: nvml.OFA_UTILIZATION_SAMPLES,
}

func (d *device) UtilizationSamples(engine Engine, since time.Time, yield func(time.Time, uint32)) error {
	if !d.lib.symbols["nvmlDeviceGetSamples"] {
		return FunctionNotFound
	}
	valueType, samples, ret := d.handle.GetSamples(samplingTypes[engine], uint64(since.UnixMicro()))
	if ret != nvml.SUCCESS {
		return toError(ret)
	}
	for _, s := range samples {
		if value, ok := decodeValue(valueType, s.SampleValue); ok {
			yield(time.UnixMicro(int64(s.TimeStamp)), uint32(value))
		}
	}
	return nil
}

func (d *device) Utilization(engine Engine) (uint32, error) {
	switch engine {
	case EngineGeneral, EngineMemory:
		rates, err := call(d.lib, "nvmlDeviceGetUtilizationRates", d.handle.GetUtilizationRates)
		if engine == EngineMemory {
			return rates.Memory, err
		}
		return rates.Gpu, err
	case EngineEncoder:
		return call(d.lib, "nvmlDeviceGetEncoderUtilization", withoutPeriod(d.handle.GetEncoderUtilization))
	case EngineDecoder:
		return call(d.lib, "nvmlDeviceGetDecoderUtilization", withoutPeriod(d.handle.GetDecoderUtilization))
	case EngineJPEG:
		return call(d.lib, "nvmlDeviceGetJpgUtilization", withoutPeriod(d.handle.GetJpgUtilization))
	case EngineOFA:
		return call(d.lib, "nvmlDeviceGetOfaUtilization", withoutPeriod(d.handle.GetOfaUtilization))
	}
	return 0, NotSupported
}

// withoutPeriod drops the second result of f, the sampling period.
func withoutPeriod(f func() (uint32, uint32, nvml.Return)) func() (uint32, nvml.Return) {
	return func() (uint32, nvml.Return) {
		value, _, ret := f()
		return value, ret
	}
}

func (d *device) Temperature() (int32, error) {
	current, err := call(d.lib, "nvmlDeviceGetTemperatureV", d.handle.GetTemperatureV().V1)
	if err == nil || !CodeOf(err).Unavailable() {
		return current.Temperature, err
	}
	legacy, err := call(d.lib, "nvmlDeviceGetTemperature", func() (uint32, nvml.Return) {
		return d.handle.GetTemperature(nvml.TEMPERATURE_GPU)
	})
	return int32(legacy), err
}

var temperatureThresholds = map[TemperatureLimit]nvml.TemperatureThresholds{
	LimitSlowdown: nvml.TEMPERATURE_THRESHOLD_SLOWDOWN, LimitShutdown: nvml.TEMPERATURE_THRESHOLD_SHUTDOWN,
	LimitGPUMax: nvml.TEMPERATURE_THRESHOLD_GPU_MAX, LimitMemoryMax: nvml.TEMPERATURE_THRESHOLD_MEM_MAX,
}

func (d *device) TemperatureLimit(limit TemperatureLimit) (uint32, error) {
	return call(d.lib, "nvmlDeviceGetTemperatureThreshold", func() (uint32, nvml.Return) {
		return d.handle.GetTemperatureThreshold(temperatureThresholds[limit])
	})
}

func (d *device) Power() (uint32, error) {
	return call(d.lib, "nvmlDeviceGetPowerUsage", d.handle.GetPowerUsage)
}

func (d *device) PowerLimit(limit PowerLimit) (uint32, error) {
	switch limit {
	case PowerEnforced:
		return call(d.lib, "nvmlDeviceGetEnforcedPowerLimit", d.handle.GetEnforcedPowerLimit)
	case PowerDefault:
		return call(d.lib, "nvmlDeviceGetPowerManagementDefaultLimit", d.handle.GetPowerManagementDefaultLimit)
	}
	return call(d.lib, "nvmlDeviceGetPowerManagementLimitConstraints", func() (uint32, nvml.Return) {
		lowest, highest, ret := d.handle.GetPowerManagementLimitConstraints()
		if limit == PowerMin {
			return lowest, ret
		}
		return highest, ret
	})
}

func (d *device) Energy() (uint64, error) {
	return call(d.lib, "nvmlDeviceGetTotalEnergyConsumption", d.handle.GetTotalEnergyConsumption)
}

func (d *device) FanCount() (int, error) {
	count, err := call(d.lib, "nvmlDeviceGetNumFans", d.handle.GetNumFans)
	if CodeOf(err) == FunctionNotFound {
		return 1, nil // drivers that cannot count fans support only one
	}
	return count, err
}

func (d *device) FanSpeed(fan int) (uint32, error) {
	speed, err := call(d.lib, "nvmlDeviceGetFanSpeed_v2", func() (uint32, nvml.Return) {
		return d.handle.GetFanSpeed_v2(fan)
	})
	if CodeOf(err) == FunctionNotFound && fan == 0 {
		return call(d.lib, "nvmlDeviceGetFanSpeed", d.handle.GetFanSpeed)
	}
	return speed, err
}

func (d *device) FanRPM() (uint32, error) {
	info, err := call(d.lib, "nvmlDeviceGetFanSpeedRPM", d.handle.GetFanSpeedRPM)
	return info.Speed, err
}

var clockTypes = map[Clock]nvml.ClockType{
	ClockGraphics: nvml.CLOCK_GRAPHICS, ClockSM: nvml.CLOCK_SM,
	ClockMemory: nvml.CLOCK_MEM, ClockVideo: nvml.CLOCK_VIDEO,
}

func (d *device) Clock(clock Clock) (uint32, error) {
	return call(d.lib, "nvmlDeviceGetClockInfo", func() (uint32, nvml.Return) {
		return d.handle.GetClockInfo(clockTypes[clock])
	})
}

func (d *device) MaxClock(clock Clock) (uint32, error) {
	return call(d.lib, "nvmlDeviceGetMaxClockInfo", func() (uint32, nvml.Return) {
		return d.handle.GetMaxClockInfo(clockTypes[clock])
	})
}

func (d *device) ThrottleReasons() (uint64, error) {
	reasons, err := call(d.lib, "nvmlDeviceGetCurrentClocksEventReasons", d.handle.GetCurrentClocksEventReasons)
	if CodeOf(err) == FunctionNotFound { // the call's name before driver 535
		return call(d.lib, "nvmlDeviceGetCurrentClocksThrottleReasons", d.handle.GetCurrentClocksThrottleReasons)
	}
	return reasons, err
}

func (d *device) PerformanceState() (int, error) {
	state, err := call(d.lib, "nvmlDeviceGetPerformanceState", d.handle.GetPerformanceState)
	return int(state), err
}

func (d *device) PCIeLink() (generation, width int, err error) {
	generation, err = call(d.lib, "nvmlDeviceGetCurrPcieLinkGeneration", d.handle.GetCurrPcieLinkGeneration)
	if err != nil {
		return 0, 0, err
	}
	width, err = call(d.lib, "nvmlDeviceGetCurrPcieLinkWidth", d.handle.GetCurrPcieLinkWidth)
	return generation, width, err
}

func (d *device) PCIeThroughput(direction Direction) (uint64, error) {
	counter := nvml.PCIE_UTIL_TX_BYTES
	if direction == Receive {
		counter = nvml.PCIE_UTIL_RX_BYTES
	}
	kibibytes, err := call(d.lib, "nvmlDeviceGetPcieThroughput", func() (uint32, nvml.Return) {
		return d.handle.GetPcieThroughput(counter)
	})
	return uint64(kibibytes) * 1024, err
}

func (d *device) PCIeReplays() (uint64, error) {
	replays, err := call(d.lib, "nvmlDeviceGetPcieReplayCounter", d.handle.GetPcieReplayCounter)
	return uint64(replays), err
}

func (d *device) ECCErrors(uncorrected bool) (uint64, error) {
	kind := nvml.MEMORY_ERROR_TYPE_CORRECTED
	if uncorrected {
		kind = nvml.MEMORY_ERROR_TYPE_UNCORRECTED
	}
	return call(d.lib, "nvmlDeviceGetTotalEccErrors", func() (uint64, nvml.Return) {
		return d.handle.GetTotalEccErrors(kind, nvml.VOLATILE_ECC)
	})
}

func (d *device) RemappedRows() (RemappedRows, error) {
	return call(d.lib, "nvmlDeviceGetRemappedRows", func() (RemappedRows, nvml.Return) {
		corrected, uncorrected, pending, failed, ret := d.handle.GetRemappedRows()
		return RemappedRows{
			Corrected: uint64(corrected), Uncorrected: uint64(uncorrected), Pending: pending, Failed: failed,
		}, ret
	})
}

func (d *device) Fields(fields []Field) error {
	if !d.lib.symbols["nvmlDeviceGetFieldValues"] {
		return FunctionNotFound
	}
	d.fields = d.fields[:0]
	for _, f := range fields {
		d.fields = append(d.fields, nvml.FieldValue{FieldId: f.ID, ScopeId: f.Scope})
	}
	if ret := d.handle.GetFieldValues(d.fields); ret != nvml.SUCCESS {
		return toError(ret)
	}
	for i := range fields {
		value, ok := decodeValue(nvml.ValueType(d.fields[i].ValueType), d.fields[i].Value)
		fields[i].Value, fields[i].Err = value, toError(nvml.Return(d.fields[i].NvmlReturn))
		if fields[i].Err == nil && !ok {
			fields[i].Err = NotSupported
		}
	}
	return nil
}

// decodeValue reads the union nvmlValue_t. It returns false for negative values and unknown types.
func decodeValue(kind nvml.ValueType, raw [8]byte) (uint64, bool) {
	switch kind {
	case nvml.VALUE_TYPE_UNSIGNED_SHORT:
		return uint64(binary.NativeEndian.Uint16(raw[:])), true
	case nvml.VALUE_TYPE_UNSIGNED_INT:
		return uint64(binary.NativeEndian.Uint32(raw[:])), true
	case nvml.VALUE_TYPE_UNSIGNED_LONG, nvml.VALUE_TYPE_UNSIGNED_LONG_LONG:
		return binary.NativeEndian.Uint64(raw[:]), true
	case nvml.VALUE_TYPE_SIGNED_INT:
		v := int32(binary.NativeEndian.Uint32(raw[:]))
		return uint64(v), v >= 0
	case nvml.VALUE_TYPE_SIGNED_LONG_LONG:
		v := int64(binary.NativeEndian.Uint64(raw[:]))
		return uint64(v), v >= 0
	case nvml.VALUE_TYPE_DOUBLE:
		v := math.Float64frombits(binary.NativeEndian.Uint64(raw[:]))
		return uint64(v), v >= 0 && v < math.MaxInt64
	}
	return 0, false
}

// memoryNotAvailable is NVML_VALUE_NOT_AVAILABLE in nvml.h.
const memoryNotAvailable = math.MaxUint64

func (d *device) Processes(buf []Process) ([]Process, error) {
	var listErr error
	listed := false
	for _, list := range []struct {
		symbol string
		get    func() ([]nvml.ProcessInfo, nvml.Return)
	}{
		{"nvmlDeviceGetComputeRunningProcesses", d.handle.GetComputeRunningProcesses},
		{"nvmlDeviceGetGraphicsRunningProcesses", d.handle.GetGraphicsRunningProcesses},
		{"nvmlDeviceGetMPSComputeRunningProcesses", d.handle.GetMPSComputeRunningProcesses},
	} {
		infos, err := call(d.lib, list.symbol, list.get)
		if err != nil {
			listErr = err
			continue
		}
		listed = true
		for _, info := range infos {
			buf = mergeProcess(buf, Process{
				PID: info.Pid, Memory: info.UsedGpuMemory, HasMemory: info.UsedGpuMemory != memoryNotAvailable,
			})
		}
	}
	if listed {
		return buf, nil // one list is enough: MIG instances, for example, cannot list graphics processes
	}
	return buf, listErr
}

// mergeProcess adds p to list. The driver lists a process that uses both compute and graphics twice, with the same
// memory.
func mergeProcess(list []Process, p Process) []Process {
	for i := range list {
		if list[i].PID == p.PID {
			if p.HasMemory && (!list[i].HasMemory || p.Memory > list[i].Memory) {
				list[i] = p
			}
			return list
		}
	}
	return append(list, p)
}

func (d *device) ProcessUtilization(since time.Time, buf []ProcessSample) (samples []ProcessSample, err error) {
	if !d.lib.symbols["nvmlDeviceGetProcessUtilization"] {
		return buf, FunctionNotFound
	}
	// go-nvml asks for the number of samples, then for the samples; it panics if a process starts in between.
	defer func() {
		if recover() != nil {
			samples, err = buf, NotReady
		}
	}()
	raw, ret := d.handle.GetProcessUtilization(uint64(since.UnixMicro()))
	if ret != nvml.SUCCESS {
		return buf, toError(ret)
	}
	for _, s := range raw {
		buf = append(buf, ProcessSample{PID: s.Pid, At: time.UnixMicro(int64(s.TimeStamp)),
			General: s.SmUtil, Memory: s.MemUtil, Encoder: s.EncUtil, Decoder: s.DecUtil})
	}
	return buf, nil
}

func (d *device) MIGEnabled() (bool, error) {
	return call(d.lib, "nvmlDeviceGetMigMode", func() (bool, nvml.Return) {
		current, _, ret := d.handle.GetMigMode()
		return current == nvml.DEVICE_MIG_ENABLE, ret
	})
}

func (d *device) MIGDevices(buf []Device) ([]Device, error) {
	if !d.lib.symbols["nvmlDeviceGetMigDeviceHandleByIndex"] {
		return buf, FunctionNotFound
	}
	count, err := call(d.lib, "nvmlDeviceGetMaxMigDeviceCount", d.handle.GetMaxMigDeviceCount)
	if err != nil {
		return buf, err
	}
	for i := range count {
		handle, ret := d.handle.GetMigDeviceHandleByIndex(i)
		if ret == nvml.ERROR_NOT_FOUND {
			continue // there can be gaps in the indices
		}
		if ret != nvml.SUCCESS {
			return buf, toError(ret)
		}
		buf = append(buf, &device{lib: d.lib, handle: handle})
	}
	return buf, nil
}

func (d *device) MIGProfile() (MIGProfile, error) {
	gpuID, err := call(d.lib, "nvmlDeviceGetGpuInstanceId", d.handle.GetGpuInstanceId)
	if err != nil {
		return MIGProfile{}, err
	}
	computeID, err := call(d.lib, "nvmlDeviceGetComputeInstanceId", d.handle.GetComputeInstanceId)
	if err != nil {
		return MIGProfile{}, err
	}
	attributes, err := call(d.lib, "nvmlDeviceGetAttributes", d.handle.GetAttributes)
	return MIGProfile{
		GPUInstance: uint32(gpuID), ComputeInstance: uint32(computeID), GPUSlices: attributes.GpuInstanceSliceCount,
		ComputeSlices: attributes.ComputeInstanceSliceCount, MemoryMiB: attributes.MemorySizeMB,
	}, err
}
