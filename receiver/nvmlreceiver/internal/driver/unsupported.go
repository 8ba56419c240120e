// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux || !cgo

package driver

// New returns a library whose Open fails with PlatformUnsupported: NVML requires cgo, and go-nvml supports only Linux.
func New(string) Library { return unsupported{} }

type unsupported struct{ Library }

func (unsupported) Open() error { return PlatformUnsupported }
