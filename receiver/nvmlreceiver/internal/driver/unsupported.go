// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux || !cgo

package driver

// Supported says whether this binary can reach the driver.
const Supported = false

// New returns a library that opens with PlatformUnsupported: NVML is reached through cgo, and go-nvml knows Linux only.
func New(string) Library { return unsupported{} }

type unsupported struct{ Library }

func (unsupported) Open() error { return PlatformUnsupported }
