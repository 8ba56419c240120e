// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package oip

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/oip/oiptest"
)

// BenchmarkProtocols measures the cost of a frame with four people over each protocol, on loopback: the CPU time of
// client, server and inference together, and the bytes of tensors. `make bench REMOTE=1` runs it.
func BenchmarkProtocols(b *testing.B) {
	names := []string{"nanodet-m", "blazeface", pose}
	frame := [][]inference.Tensor{image(256, 416), image(256, 256), people(4)}
	for _, protocol := range []string{"local", "grpc", "http", "json"} {
		b.Run(protocol, func(b *testing.B) {
			server := startServer(b, oiptest.Options{HTTP: protocol != "grpc", JSON: protocol == "json"}, names...)
			client, remote := connect(b, Options{}, names, server)
			require.NoError(b, client.Start(b.Context()))
			sessions := make([]inference.Session, len(names))
			for i, session := range remote {
				if sessions[i] = session; protocol == "local" {
					sessions[i] = session.Model.Reference
				}
			}
			bytes := 0
			analyze := func() {
				bytes = 0
				for i, session := range sessions {
					require.NoError(b, session.Run(b.Context(), frame[i], func(outputs []inference.Tensor) error {
						for _, t := range append(outputs, frame[i]...) {
							bytes += len(t.Uint8) + 4*len(t.Float32)
						}
						return nil
					}))
				}
			}
			analyze() // caches the shapes of the outputs
			before := cpuTime(b)
			for b.Loop() {
				analyze()
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(time.Millisecond)/float64(b.N), "cpu-ms/frame")
			b.ReportMetric(float64(bytes), "tensor-bytes/frame")
		})
	}
}

// cpuTime returns the CPU time of this process.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
