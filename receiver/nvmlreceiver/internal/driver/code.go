// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package driver

import (
	"errors"
	"fmt"
)

// Code is the result of an NVML call (nvmlReturn_t in nvml.h). As an error, it is never Success.
type Code uint32

// The codes that matter to the receiver.
const (
	Success             Code = 0
	Uninitialized       Code = 1
	InvalidArgument     Code = 2
	NotSupported        Code = 3
	NoPermission        Code = 4
	NotFound            Code = 6
	InsufficientPower   Code = 8
	DriverNotLoaded     Code = 9
	Timeout             Code = 10
	IRQIssue            Code = 11
	LibraryNotFound     Code = 12
	FunctionNotFound    Code = 13
	CorruptedInfoROM    Code = 14
	GPULost             Code = 15
	ResetRequired       Code = 16
	OperatingSystem     Code = 17
	VersionMismatch     Code = 18
	InUse               Code = 19
	OutOfMemory         Code = 20
	NoData              Code = 21
	ArgumentVersion     Code = 25
	Deprecated          Code = 26
	NotReady            Code = 27
	GPUNotFound         Code = 28
	InvalidState        Code = 29
	Unknown             Code = 999
	PlatformUnsupported Code = 1 << 30 // not an NVML code: this binary was built without GPU support
)

var codeText = map[Code]string{
	Uninitialized:       "library not initialized",
	InvalidArgument:     "invalid argument",
	NotSupported:        "not supported by this GPU",
	NoPermission:        "permission denied",
	NotFound:            "not found",
	InsufficientPower:   "the GPU's power cables are not connected properly",
	DriverNotLoaded:     "the NVIDIA kernel driver is not loaded",
	Timeout:             "timed out",
	IRQIssue:            "the kernel detected a problem with the GPU's interrupts",
	LibraryNotFound:     "the NVIDIA management library was not found",
	FunctionNotFound:    "the installed driver is too old for this call",
	CorruptedInfoROM:    "the GPU's infoROM is corrupted",
	GPULost:             "the GPU fell off the bus or is inaccessible",
	ResetRequired:       "the GPU must be reset before it can be used again",
	OperatingSystem:     "the operating system or a cgroup blocks the GPU's device file",
	VersionMismatch:     "the versions of the library and the kernel driver differ",
	InUse:               "the GPU is in use",
	OutOfMemory:         "out of memory",
	NoData:              "no data",
	ArgumentVersion:     "the driver does not support this version of the call",
	Deprecated:          "no longer supported by the driver",
	NotReady:            "the GPU is not ready",
	GPUNotFound:         "no such GPU",
	InvalidState:        "the GPU is in the wrong state for this call",
	Unknown:             "internal driver error",
	PlatformUnsupported: "this build has no GPU support, which requires Linux and cgo",
}

// Error describes the code.
func (c Code) Error() string {
	if text, ok := codeText[c]; ok {
		return text
	}
	return fmt.Sprintf("driver error %d", uint32(c))
}

// Unavailable reports whether there is no value to read for a normal reason: the GPU or the driver lacks the feature,
// or has no value at the moment.
func (c Code) Unavailable() bool {
	switch c {
	case NotSupported, FunctionNotFound, NotFound, NoData, NotReady, ArgumentVersion, Deprecated:
		return true
	}
	return false
}

// NeedsReopen reports whether the handle, or the whole library, is unusable until the driver is reopened.
func (c Code) NeedsReopen() bool {
	switch c {
	case Uninitialized, DriverNotLoaded, GPULost, ResetRequired, VersionMismatch, GPUNotFound, IRQIssue:
		return true
	}
	return false
}

// GPUGone reports whether a GPU, rather than the whole driver, is unusable.
func (c Code) GPUGone() bool {
	switch c {
	case GPULost, ResetRequired, GPUNotFound, IRQIssue:
		return true
	}
	return false
}

// DriverMissing reports whether this computer has no driver, or this binary cannot access one.
func (c Code) DriverMissing() bool {
	switch c {
	case LibraryNotFound, DriverNotLoaded, PlatformUnsupported:
		return true
	}
	return false
}

// CodeOf returns the Code that err is or wraps. It returns Success if err is nil and Unknown if err contains no Code.
func CodeOf(err error) Code {
	if err == nil {
		return Success
	}
	//nolint:errorlint // the usual case, for every value that a GPU lacks; errors.As would allocate
	if code, ok := err.(Code); ok {
		return code
	}
	var code Code
	if errors.As(err, &code) {
		return code
	}
	return Unknown
}
