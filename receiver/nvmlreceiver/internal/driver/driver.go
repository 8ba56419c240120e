// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package driver is the narrow door to the NVIDIA driver: the calls that the receiver needs, in Go's terms, and no more.
// New opens it on the driver's management library; package drivertest has one that follows a script.
package driver // import "github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"

import "time"

// Library is NVML, the management library of the driver. Every call may block for as long as the driver likes.
// Every error is a Code, or wraps one.
type Library interface {
	// Open loads the library and attaches to the driver. It must come before every other call.
	Open() error
	// Close detaches from the driver. No other call may be under way, and every Device and EventSet is void after it.
	Close() error
	// DriverVersion is the version of the kernel driver, such as "570.86.15".
	DriverVersion() (string, error)
	// CUDAVersion is the newest CUDA version that the driver supports, such as "12.8".
	CUDAVersion() (string, error)
	// DeviceCount is the number of GPUs, also of those that do not answer.
	DeviceCount() (int, error)
	// Device is the GPU at index 0..DeviceCount-1.
	Device(index int) (Device, error)
	// NewEventSet makes an event set that no GPU is registered with yet.
	NewEventSet() (EventSet, error)
}

// Device is a GPU or a MIG instance. Calls on one Device must not overlap.
type Device interface {
	UUID() (string, error)
	Name() (string, error)
	Serial() (string, error)
	VBIOSVersion() (string, error)
	// PCIAddress is domain:bus:device.function in lower case, as the kernel writes it: "0000:3b:00.0".
	PCIAddress() (string, error)

	Memory() (Memory, error)
	// BAR1 has no reserved part.
	BAR1() (Memory, error)
	// UtilizationSamples calls yield for each sample the driver took after since, values 0..100, oldest first.
	UtilizationSamples(engine Engine, since time.Time, yield func(at time.Time, percent uint32)) error
	// Utilization is the driver's latest value, 0..100.
	Utilization(engine Engine) (uint32, error)
	// Temperature of the GPU chip in degrees Celsius.
	Temperature() (int32, error)
	// TemperatureLimit in degrees Celsius.
	TemperatureLimit(limit TemperatureLimit) (uint32, error)
	// Power draw in milliwatts.
	Power() (uint32, error)
	// PowerLimit in milliwatts.
	PowerLimit(limit PowerLimit) (uint32, error)
	// Energy in millijoules since the driver was loaded.
	Energy() (uint64, error)
	FanCount() (int, error)
	// FanSpeed is what the driver asks of the fan, in percent of its highest speed.
	FanSpeed(fan int) (uint32, error)
	// FanRPM is the speed of the first fan.
	FanRPM() (uint32, error)
	// Clock in MHz.
	Clock(clock Clock) (uint32, error)
	// MaxClock in MHz.
	MaxClock(clock Clock) (uint32, error)
	// ThrottleReasons is a mask of the Throttle bits.
	ThrottleReasons() (uint64, error)
	// PerformanceState is 0 (highest) to 15 (lowest), or 32 where the driver does not know.
	PerformanceState() (int, error)
	// PCIeLink is the generation and the number of lanes in use.
	PCIeLink() (generation, width int, err error)
	// PCIeThroughput in bytes a second, seen from the GPU. The call takes 20 ms.
	PCIeThroughput(direction Direction) (uint64, error)
	// PCIeReplays since the driver was loaded.
	PCIeReplays() (uint64, error)
	// ECCErrors since the driver was loaded.
	ECCErrors(uncorrected bool) (uint64, error)
	// RemappedRows over the life of the board.
	RemappedRows() (RemappedRows, error)
	// Fields fills in Value and Err of each field in one call.
	Fields(fields []Field) error

	// Processes appends those that hold GPU memory to buf, each once.
	Processes(buf []Process) ([]Process, error)
	// ProcessUtilization appends the samples that the driver took after since to buf.
	ProcessUtilization(since time.Time, buf []ProcessSample) ([]ProcessSample, error)

	// MIGEnabled says whether the GPU is cut into MIG instances now.
	MIGEnabled() (bool, error)
	// MIGDevices appends the instances of the GPU to buf.
	MIGDevices(buf []Device) ([]Device, error)
	// MIGProfile describes a MIG instance.
	MIGProfile() (MIGProfile, error)
}

// EventSet collects the events of the GPUs that are registered with it.
type EventSet interface {
	// Register adds those of kinds that the GPU supports.
	Register(device Device, kinds EventKind) error
	// Wait blocks until an event comes (Timeout: none came in time). Calls must not overlap.
	Wait(timeout time.Duration) (Event, error)
	Close() error
}

// Memory in bytes. Total is Used + Free + Reserved.
type Memory struct {
	Total, Used, Free, Reserved uint64
	// HasReserved is false where the driver cannot tell the reserved part from the used one.
	HasReserved bool
}

// Engine is a part of the GPU that has a utilization of its own.
type Engine int

// The engines. EngineMemory is the memory controller: the time in which memory was read or written.
const (
	EngineGeneral Engine = iota
	EngineMemory
	EngineEncoder
	EngineDecoder
	EngineJPEG
	EngineOFA
)

// TemperatureLimit names a temperature at which something happens.
type TemperatureLimit int

// The temperature limits.
const (
	LimitSlowdown TemperatureLimit = iota
	LimitShutdown
	LimitGPUMax
	LimitMemoryMax
)

// PowerLimit names a power limit.
type PowerLimit int

// The power limits.
const (
	PowerEnforced PowerLimit = iota
	PowerDefault
	PowerMin
	PowerMax
)

// Clock is a clock domain.
type Clock int

// The clock domains.
const (
	ClockGraphics Clock = iota
	ClockSM
	ClockMemory
	ClockVideo
)

// Direction is seen from the GPU.
type Direction int

// The directions.
const (
	Transmit Direction = iota
	Receive
)

// Bits of Device.ThrottleReasons, as nvml.h has them.
const (
	ThrottleGPUIdle       uint64 = 0x1
	ThrottleClocksSetting uint64 = 0x2
	ThrottleSWPowerCap    uint64 = 0x4
	ThrottleHWSlowdown    uint64 = 0x8
	ThrottleSyncBoost     uint64 = 0x10
	ThrottleSWThermal     uint64 = 0x20
	ThrottleHWThermal     uint64 = 0x40
	ThrottleHWPowerBrake  uint64 = 0x80
	ThrottleDisplayClock  uint64 = 0x100
)

// RemappedRows says how many rows of the memory were replaced by spare ones, and why.
type RemappedRows struct {
	Corrected, Uncorrected uint64
	// Pending: a row waits for a reset to be replaced. Failed: a row could not be replaced.
	Pending, Failed bool
}

// Field is one value of Device.Fields, by the number that nvml.h gives it (NVML_FI_*).
type Field struct {
	ID, Scope uint32
	Value     uint64
	Err       error
}

// The fields that the receiver reads.
const (
	FieldThrottlePower          = 74
	FieldThrottleThermal        = 75
	FieldThrottleSyncBoost      = 76
	FieldThrottleBoardLimit     = 77
	FieldThrottleLowUtilization = 78
	FieldThrottleReliability    = 79
	FieldMemoryTemperature      = 82
	FieldNVLinkCount            = 91
	FieldNVLinkTxKiB            = 138
	FieldNVLinkRxKiB            = 139
	FieldPCIeTxBytes            = 197
	FieldPCIeRxBytes            = 198
	FieldNVLinkTxBytes          = 202
	FieldNVLinkRxBytes          = 204
	FieldThrottleSWThermal      = 269
	FieldThrottleHWThermal      = 270
	FieldThrottleHWPowerBrake   = 271

	// ScopeAllLinks sums an NVLink field up over all links.
	ScopeAllLinks = 0xFFFFFFFF
)

// Process is a process that holds memory of the GPU.
type Process struct {
	PID uint32
	// Memory in bytes; HasMemory is false where the driver does not tell.
	Memory    uint64
	HasMemory bool
}

// ProcessSample says how much of the GPU one process used in the time before At, each value 0..100.
type ProcessSample struct {
	PID                               uint32
	At                                time.Time
	General, Memory, Encoder, Decoder uint32
}

// MIGProfile is the size of a MIG instance.
type MIGProfile struct {
	GPUInstance, ComputeInstance uint32
	// GPUSlices and ComputeSlices of the GPU belong to the instance.
	GPUSlices, ComputeSlices uint32
	MemoryMiB                uint64
}

// EventKind is a mask of event types, as nvml.h has them.
type EventKind uint64

// The event types that the receiver listens to.
const (
	EventECCUncorrected    EventKind = 0x2
	EventXID               EventKind = 0x8
	EventMIGChanged        EventKind = 0x100
	EventECCCorrectedStorm EventKind = 0x200
	EventRetired           EventKind = 0x400
	EventRetirementFailed  EventKind = 0x800
	EventPoison            EventKind = 0x1000
	EventPoisonFatal       EventKind = 0x2000
	EventUnavailable       EventKind = 0x4000
	EventRecoveryAction    EventKind = 0x8000

	EventsCritical = EventECCUncorrected | EventXID | EventMIGChanged | EventECCCorrectedStorm | EventRetired |
		EventRetirementFailed | EventPoison | EventPoisonFatal | EventUnavailable | EventRecoveryAction
)

// NoInstance stands in Event where the event concerns no MIG instance.
const NoInstance = 0xFFFFFFFF

// Event is something that happened to a GPU.
type Event struct {
	// Device as Library.Device gave it, or nil where the driver names one that it never gave.
	Device Device
	Kind   EventKind
	// Data is the XID number, or the recovery action; 0 with other kinds.
	Data                         uint64
	GPUInstance, ComputeInstance uint32
}
