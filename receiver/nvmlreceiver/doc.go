// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package nvmlreceiver reads metrics and critical events of NVIDIA GPUs from the driver's management library (NVML).
//
// receiver.go puts the parts together; session.go opens the driver, keeps it open and opens it again; gpu.go reads one GPU;
// watch.go waits for events. Everything below speaks to the driver through internal/driver only.
package nvmlreceiver // import "github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver"
