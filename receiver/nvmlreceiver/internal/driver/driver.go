// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package driver is a narrow interface to the NVIDIA driver: only the calls that the receiver needs, with Go types. New
// returns the implementation that calls the driver's management library; package drivertest contains a scripted fake.
package driver

import "time"

// Library is NVML, the driver's management library. Any call may block indefinitely. Every error is or wraps a Code.
type Library interface {
	// Open loads the library and attaches to the driver. It must precede every other call.
	Open() error
	// Close detaches from the driver and invalidates every Device and EventSet. No other call may be in progress.
	Close() error
	// DriverVersion returns the version of the kernel driver, such as "570.86.15".
	DriverVersion() (string, error)
	// CUDAVersion returns the newest CUDA version that the driver supports, such as "12.8".
	CUDAVersion() (string, error)
	// DeviceCount returns the number of GPUs, including those that do not respond.
	DeviceCount() (int, error)
	// Device returns the GPU at an index from 0 to DeviceCount-1.
	Device(index int) (Device, error)
	// NewEventSet creates an event set without any registered GPU.
	NewEventSet() (EventSet, error)
}

// Device is a GPU or a MIG instance. Calls on the same Device must not overlap.
type Device interface {
	// UUID returns the UUID, which starts with "GPU-", or with "MIG-" for a MIG instance.
	UUID() (string, error)
	// Name returns the product name, such as "NVIDIA H100 80GB HBM3".
	Name() (string, error)
	// Serial returns the serial number of the board.
	Serial() (string, error)
	// VBIOSVersion returns the version of the video BIOS.
	VBIOSVersion() (string, error)
	// PCIAddress returns domain:bus:device.function in lowercase, the way the kernel writes it: "0000:3b:00.0".
	PCIAddress() (string, error)

	// Memory returns the usage of the GPU memory.
	Memory() (Memory, error)
	// BAR1 returns the usage of the BAR1 window, through which the CPU and other devices access the GPU memory. It has no
	// reserved memory.
	BAR1() (Memory, error)
	// UtilizationSamples calls yield for each sample (0..100) that the driver took after since, oldest first.
	UtilizationSamples(engine Engine, since time.Time, yield func(at time.Time, percent uint32)) error
	// Utilization returns the driver's latest value (0..100).
	Utilization(engine Engine) (uint32, error)
	// Temperature returns the temperature of the GPU chip in degrees Celsius.
	Temperature() (int32, error)
	// TemperatureLimit returns a limit in degrees Celsius.
	TemperatureLimit(limit TemperatureLimit) (uint32, error)
	// Power returns the power draw in milliwatts.
	Power() (uint32, error)
	// PowerLimit returns a limit in milliwatts.
	PowerLimit(limit PowerLimit) (uint32, error)
	// Energy returns the energy consumed since the driver was loaded, in millijoules.
	Energy() (uint64, error)
	// FanCount returns the number of fans.
	FanCount() (int, error)
	// FanSpeed returns the speed that the driver requests from a fan, as a percentage of its maximum. It can exceed 100.
	FanSpeed(fan int) (uint32, error)
	// FanRPM returns the speed of the first fan in revolutions per minute.
	FanRPM() (uint32, error)
	// Clock returns the current frequency of a clock in MHz.
	Clock(clock Clock) (uint32, error)
	// MaxClock returns the maximum frequency of a clock in MHz.
	MaxClock(clock Clock) (uint32, error)
	// ThrottleReasons returns a mask of Throttle bits.
	ThrottleReasons() (uint64, error)
	// PerformanceState returns 0 (highest) to 15 (lowest), or PerformanceStateUnknown.
	PerformanceState() (int, error)
	// PCIeLink returns the PCIe generation and the number of lanes currently in use.
	PCIeLink() (generation, width int, err error)
	// PCIeThroughput returns the bytes per second in a direction as seen from the GPU. The call takes 20 ms.
	PCIeThroughput(direction Direction) (uint64, error)
	// PCIeReplays returns the number of replays since the driver was loaded.
	PCIeReplays() (uint64, error)
	// ECCErrors returns the number of corrected or uncorrected errors since the driver was loaded.
	ECCErrors(uncorrected bool) (uint64, error)
	// RemappedRows returns the number of rows remapped over the lifetime of the board.
	RemappedRows() (RemappedRows, error)
	// Fields sets Value and Err of every field, with a single call.
	Fields(fields []Field) error

	// Processes appends the processes that hold GPU memory to buf, each once.
	Processes(buf []Process) ([]Process, error)
	// ProcessUtilization appends to buf the samples that the driver took after since.
	ProcessUtilization(since time.Time, buf []ProcessSample) ([]ProcessSample, error)

	// MIGEnabled reports whether the GPU is currently partitioned into MIG instances.
	MIGEnabled() (bool, error)
	// MIGDevices appends the GPU's instances to buf.
	MIGDevices(buf []Device) ([]Device, error)
	// MIGProfile returns the profile of a MIG instance.
	MIGProfile() (MIGProfile, error)
}

// EventSet collects the events of its registered GPUs.
type EventSet interface {
	// Register registers a GPU for those of kinds that it supports. It returns NotSupported if the GPU supports none of
	// them.
	Register(device Device, kinds EventKind) error
	// Wait blocks until an event arrives, and returns Timeout if none does in time. Calls must not overlap.
	Wait(timeout time.Duration) (Event, error)
	// Close frees the set.
	Close() error
}

// Memory holds sizes in bytes. Total is Used + Free + Reserved.
type Memory struct {
	Total, Used, Free, Reserved uint64
	// HasReserved is false if the driver counts reserved memory as used.
	HasReserved bool
}

// Engine is a part of the GPU that has its own utilization.
type Engine int

// The engines. EngineMemory is the memory controller; it is busy while memory is read or written.
const (
	EngineGeneral Engine = iota
	EngineMemory
	EngineEncoder
	EngineDecoder
	EngineJPEG
	EngineOFA
)

// TemperatureLimit identifies a temperature threshold.
type TemperatureLimit int

// The temperature limits: where the clocks slow down, where the GPU shuts down, and the specified maximums of the chip
// and its memory.
const (
	LimitSlowdown TemperatureLimit = iota
	LimitShutdown
	LimitGPUMax
	LimitMemoryMax
)

// PowerLimit identifies a power limit.
type PowerLimit int

// The power limits: the limit in effect, the default after boot, and the range that an administrator can choose from.
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

// Direction is the direction of a transfer, as seen from the GPU.
type Direction int

// The directions.
const (
	Transmit Direction = iota
	Receive
)

// PerformanceStateUnknown is what Device.PerformanceState returns if the driver does not know the state
// (NVML_PSTATE_UNKNOWN in nvml.h).
const PerformanceStateUnknown = 32

// Bits of Device.ThrottleReasons, as in nvml.h.
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

// RemappedRows counts memory rows that were replaced by spare rows, by the kind of error that caused the replacement.
type RemappedRows struct {
	Corrected, Uncorrected uint64
	// Pending means that a row will be replaced at the next reset. Failed means that a row could not be replaced.
	Pending, Failed bool
}

// Field is a value that nvml.h identifies by number (NVML_FI_*).
type Field struct {
	// Scope is the number of an NVLink or ScopeAllLinks; 0 for fields without a scope.
	ID, Scope uint32
	// Value and Err are set by Device.Fields.
	Value uint64
	Err   error
}

// The fields that the receiver reads. Throttle times are in nanoseconds, the memory temperature in degrees Celsius.
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

	// ScopeAllLinks selects the sum over all NVLinks.
	ScopeAllLinks = 0xFFFFFFFF
)

// Process is a process that holds GPU memory.
type Process struct {
	PID uint32
	// Memory is in bytes. HasMemory is false if the driver does not report it.
	Memory    uint64
	HasMemory bool
}

// ProcessSample is the utilization of each engine by one process, 0..100, in the period before At.
type ProcessSample struct {
	PID                               uint32
	At                                time.Time
	General, Memory, Encoder, Decoder uint32
}

// MIGProfile identifies a MIG instance and describes its size.
type MIGProfile struct {
	// GPUInstance and ComputeInstance are IDs.
	GPUInstance, ComputeInstance uint32
	// GPUSlices and ComputeSlices are the numbers of slices that belong to the instance.
	GPUSlices, ComputeSlices uint32
	MemoryMiB                uint64
}

// EventKind is a mask of event types, as in nvml.h.
type EventKind uint64

// The event types that the receiver listens for.
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

// NoInstance is the instance ID in an Event that does not concern a MIG instance.
const NoInstance = 0xFFFFFFFF

// Event is something that happened to a GPU.
type Event struct {
	// Device is a value that Library.Device returned, or nil if the driver names another device.
	Device Device
	Kind   EventKind
	// Data is the XID or the recovery action; 0 for other kinds.
	Data uint64
	// GPUInstance and ComputeInstance are the IDs of the MIG instance concerned, or NoInstance.
	GPUInstance, ComputeInstance uint32
}
