// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"image"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/picture/heictest"
)

// BenchmarkHEIC decodes a tiled 12-megapixel picture, as from a phone. The CPU time includes that of ffmpeg.
func BenchmarkHEIC(b *testing.B) {
	tools, err := confinedTools()
	require.NoError(b, err)
	path := filepath.Join(b.TempDir(), "a.heic")
	heic := heictest.Picture(b, smooth(4032, 3024), image.Pt(512, 512), heictest.Coding{})
	require.NoError(b, os.WriteFile(path, heic, 0o600))
	before := cpuSeconds()
	for b.Loop() {
		file, err := Read(path, media.Limits{})
		require.NoError(b, err)
		_, err = file.Decode(b.Context(), tools)
		require.NoError(b, err)
	}
	b.ReportMetric((cpuSeconds()-before)/float64(b.N), "cpu-s/op")
}

// cpuSeconds returns the CPU time of this process and of the children that it has waited for.
func cpuSeconds() (sum float64) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
		}
	}
	return sum
}
