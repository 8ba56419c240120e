// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package nvmlreceiver reads metrics and critical events of NVIDIA GPUs from the driver's management library (NVML).
//
// session.go opens the driver, shares it between the metrics and the logs receiver, and reopens it; scraper.go scrapes
// all GPUs concurrently; gpu.go scrapes one GPU, with its readings in readings.go, fields.go, health.go, process.go,
// and instance.go; watch.go waits for events, and logs.go turns them into log records. All of them access the driver
// through package internal/driver.
package nvmlreceiver // import "github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver"
